// Prints the tokens of .shape files as JSON, by the libraries that VS Code colours files with.
//
// Usage: `node tokens.mjs < names`, a file name on each line. Prints a list for each file: `[start, end, [scope, ...]]`,
// counted in Unicode code points from the beginning of the file, without a byte order mark and line ends.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import oniguruma from "vscode-oniguruma";
import textmate from "vscode-textmate";

const GRAMMAR = new URL("vscode/syntaxes/shape.tmLanguage.json", import.meta.url);
const SCOPE = JSON.parse(readFileSync(new URL("vscode/package.json", import.meta.url))).contributes.grammars[0].scopeName;

const wasm = createRequire(import.meta.url).resolve("vscode-oniguruma/release/onig.wasm");
await oniguruma.loadWASM(readFileSync(wasm));
const registry = new textmate.Registry({
  onigLib: {
    createOnigScanner: (patterns) => new oniguruma.OnigScanner(patterns),
    createOnigString: (text) => new oniguruma.OnigString(text),
  },
  loadGrammar: async () => textmate.parseRawGrammar(readFileSync(GRAMMAR, "utf8"), "shape.tmLanguage.json"),
});
const grammar = await registry.loadGrammar(SCOPE);

// Offsets of JavaScript count UTF-16 units.
const points = (text) => [...text].length;

function tokens(text) {
  const found = [];
  let state = textmate.INITIAL;
  let at = 0;
  for (const part of text.split(/(\r\n|\r|\n)/)) {
    if (!/^[\r\n]/.test(part)) {
      const line = grammar.tokenizeLine(part, state);
      state = line.ruleStack;
      for (const { startIndex, endIndex, scopes } of line.tokens) {
        const [start, end] = [startIndex, Math.min(endIndex, part.length)].map((each) => points(part.slice(0, each)));
        if (start < end) found.push([at + start, at + end, scopes]);
      }
    }
    at += points(part);
  }
  return found;
}

const names = readFileSync(0, "utf8").split("\n").filter((name) => name !== "");
// `TextDecoder` removes a byte order mark.
const read = (name) => new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(name));
process.stdout.write(JSON.stringify(Object.fromEntries(names.map((name) => [name, tokens(read(name))]))));
