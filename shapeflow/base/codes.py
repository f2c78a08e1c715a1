"""Every diagnostic code: what it means, and what to do. `shapeflow explain CODE` prints it.

A code is stable and never reused. `tests/test_mistakes.py` compares this list with the codes that the sources raise,
and keeps an example of each.
"""

from __future__ import annotations

from collections.abc import Mapping

_SENTENCES = {
    "syntax": "The text is not a list of sentences as the language has them. The caret stands where reading stopped, "
    "and the help shows a sentence of the kind that was begun. `shapeflow explain` lists all kinds.",
    "empty-file": "The file holds no sentence, or comments alone. Begin with a `plan` sentence, and see `examples/`.",
    "repeated-sentence": "A sentence that may stand once stands twice. Keep one: a later one never replaces a former.",
    "repeated-name": "Two axes, or two names given by `let` and `use`, are called alike. Rename one of them.",
    "missing-sentence": "A sentence that this file needs is not there. The message says which one.",
    "no-axis": "The file says of no axis that it may vary, so there is no shape to choose. Add an `axis` sentence.",
    "no-model": "Something is asked for that needs a model: data, an objective, an optimizer, or training itself. Add "
    "a `model` sentence; without one a plan can be compiled and simulated, not run.",
    "no-end": "Nothing says where the plan ends. Add a `budget`, or `stop when error <= ...`, or both.",
    "two-ways": "A file either has a `traversal`, which picks the stages, or says the stages itself. Keep one of them.",
    "stage-order": "Stages follow each other as they are written, each `until` a point counted from the run's start, "
    "and the last one runs `until end`.",
    "path-outside": "A file may `use` files in its own folder and below, so that a plan can be moved as a whole.",
    "no-such-file": "A file that is named by `use` is not there. Paths are relative to the file that names them.",
    "not-a-let": "A file that is used may hold `let` sentences only, so that a plan is never spread over files.",
}
_VALUES = {
    "unknown-name": "A name stands where a value belongs, and no `let` gives it one. Define it, or correct it.",
    "circular-let": "A `let` is defined, perhaps over others, by itself. Give one of them a value.",
    "missing-unit": "A number stands without its unit where it could be several things. Write the unit behind it.",
    "unknown-unit": "No unit has this name. Prefixes are part of the name: `EFLOPs`, `ktokens`; not `EFLOP`.",
    "wrong-unit": "The unit measures another kind of thing than the place wants. The help names one that fits.",
    "wrong-kind": "A value of another kind belongs here: a text in quotes, a list, a shape, a number with a unit.",
    "unknown-choice": "The setting takes one of a few bare names. The label lists them.",
    "not-whole": "A whole number belongs here.",
    "out-of-range": "The value lies outside what the place allows. The label says the limit.",
}
_COMPONENTS = {
    "unknown-component": "No component of this kind has this name. `shapeflow explain` lists all of them.",
    "broken-component": "The entry point of another distribution names a module or class that cannot be imported. "
    "The note has Python's reason. It is an error if the file names the component, otherwise a warning.",
    "wrong-member": "A component class does not meet the protocol of its kind: it lacks a member, has one whose name "
    "is almost right and which nothing reads, or one with other parameters or of another type. The help says what to "
    "write; `shapeflow/ir/components.py` lists the members of each kind. In a component of another distribution it is "
    "an error if the file names the component, otherwise a warning.",
    "component-clash": "Two distributions bring a component of one kind and name. Those of shapeflow itself come "
    "first, then those of others in the order in which Python finds them. Rename one, or uninstall it.",
    "unknown-setting": "The component has no setting of this name. `shapeflow explain NAME` lists its settings.",
    "missing-setting": "The component cannot do without a setting. Write `name: value` inside its brackets.",
    "rate-table": "A table of factors on the learning rate has one for each batch of the axis, in rising order.",
    "repeated-setting": "A setting, or an axis of a shape, is given twice. Keep one.",
    "unnamed-setting": "A value stands without the name of its setting. Only a few settings may be given without name, "
    'the path of `fit("runs/*.csv")` for one; write `name: value` for all others.',
    "idle-setting": "A setting is given that means nothing beside the others of its component. Leave it out, or change "
    "the setting that it belongs to.",
    "setting-and-axis": "The model has a setting for what is an axis of the file. Leave the setting out: every stage "
    "gets its value from the axis.",
    "two-objectives": "What a step minimises is said by an `objective` sentence, for the whole run, or by an axis "
    "`loss`, for each stage. Keep one of them.",
    "mixture-weights": "A mixture has one weight for each of its objectives, and one of them at least is above 0.",
    "not-mixable": "Objectives that do not go together in one mixture: one that marks samples of its own asks the "
    "model other questions than the rest, and label smoothing softens targets that a teacher has softened already. "
    "Share steps among them instead: an axis `loss` of both, and `blend` or `with` a share.",
    "teacher-missing": "The file of weights that an objective learns from is not there. A plan is refused, and so is a "
    "run, before the first step, even where the teacher is needed late. Paths are relative to the `.shape` file.",
    "teacher-broken": "The file is no safetensors file of `shapeflow export`, is torn, or contradicts itself.",
    "teacher-mismatch": "Teacher and student must have the same classes or vocabulary and take the same images, for "
    "the one's answer to be a target of the other's. Ids that an objective reserves for marks do not count.",
    "teacher-stretched": "The student is to be taught at a longer context than the teacher was trained at. It is asked "
    "all the same, about positions that it has never seen, and its answers there may be worth little.",
    "run-unfinished": "The run has not come to the end of its plan, so its weights are not its result. Go on with "
    "`--resume`, or export them as they are.",
    "teacher-changed": "The teacher's file is not the one that the plan was compiled with: its digest is another. Put "
    "the old file back, or compile the plan again.",
    "wrong-data": "Model, objective, metric, axis and data do not fit: some are for images, some for text.",
    "no-document-ends": "The model is to attend within documents, and nothing tells where they end: the data has no "
    "such mark, or the text holds none. A folder of files has one behind each file.",
    "wrong-transition": "The transition behind `via` moves along another axis than the one it stands with.",
    "not-of-model": "The model cannot vary along this axis. The label lists the axes that it has.",
}
_SHAPES = {
    "repeated-value": "A value is listed twice on one axis. Take one out.",
    "ambiguous-value": "Two values of an axis of names go by the same name: a component with settings goes by its own. "
    "Name one of them by a `let`, and list that name.",
    "unordered-axis": "The values of this axis are names, which are equal or not. Compare them with `is`.",
    "unknown-axis": "The name of an axis stands where the file has no such axis.",
    "unknown-value": "A shape has a value that its axis does not list. Add it to the axis, or take one that is there.",
    "incomplete-shape": "A shape, or the `candidates` sentence, leaves out an axis. Name every axis of the file.",
    "no-candidates": "The condition behind `where` holds for no shape at all. Loosen it.",
    "not-a-candidate": "The condition behind `where` rules this shape out, so no stage and no law may have it.",
    "unknown-candidate": "A setting of the traversal names a shape that is no candidate. The note lists them all.",
    "wrong-value": "An axis was asked for a value that is no positive whole number.",
    "indivisible-patch": "Square patches must tile the image without rest. Use a patch size that divides its side; the "
    "image's size is a setting of the data.",
    "resolution-above-data": "Images are to be enlarged beyond what the data has, which costs compute and shows no "
    "more. Lower the resolution, have the data give larger images, or write `upsample: true` in the model.",
    "stored-mismatch": "Two transitions keep one thing whatever the shape, a position grid for one, and each at a size "
    "of its own. Give both the same size.",
    "tokens-per-step-not-integral": "A step has the same number of tokens at every context, so the batch must be a "
    "multiple of every context. Powers of two fit each other.",
    "context-too-short": "The objective takes spans out of a window and asks for them behind it, with marks between "
    "them, and a shorter window has no room for that.",
    "too-few-sentinels": "The objective marks each span of a window by a token id of its own, and a long window has "
    "more spans than there are such ids. Set `sentinels` as the help says.",
    "head-width-mismatch": "The channels of a model are split into heads of one width, so every width must be a "
    "multiple of it, and `heads`, where it is given, must agree.",
    "kv-ratio-changed": "Groups of heads share a key and value head, the same number at every width. Use widths and a "
    "`kv_ratio` that make whole groups.",
    "fractional-mlp": "The hidden units of an MLP are `mlp_ratio` times the width, which must be a whole number.",
}
_LOGS = {
    "unreadable-log": "A file that the pattern names is no log, or a damaged one. Logs are tables (CSV, TSV, JSON, "
    "parquet), event files of TensorBoard, trainer states of Hugging Face, and run folders: see `docs/logs.md`.",
    "unknown-place": "A place in braces, in the paths or the column names of `fit`, stands for the values of an axis, "
    "or, as `{run}`, for the name of a run. Other settings may use the places of `error` alone.",
    "sampled-history": "A warning: what W&B exports by default is a sample of a run's history. A law of it is one of "
    "fewer points; with smoothed charts it is another one.",
    "computed-compute": "A warning: a log tells no compute along the run, so it was worked out of its steps. That is "
    "right where all steps were alike, of the size that the file's model and data state.",
    "missing-column": "A log or a table lacks a column of the name looked for, or the column holds something else. "
    "Settings of `fit`, or `--column`, say what it is called.",
    "missing-steps": "What to drop at the beginning is counted in steps, and the log has no column of steps.",
    "mixed-conventions": "The runs count compute otherwise than the file's model, so their laws say nothing here.",
    "too-few-points": "A law of four numbers needs five points, better a dozen. Evaluate more often or run longer.",
    "torn-log": "A warning: the last line of a log is cut off, as of a run that was killed. It is left out.",
    "skipped-runs": "A warning: something that the pattern names was not read. The notes say what, and why.",
    "excluded-points": "A warning: some rows have no usable numbers, or none at all, and are left out.",
    "repeated-steps": "A warning: a step was logged twice, as by a run that was resumed. The last time counts.",
    "falling-compute": "A warning: compute must grow along a run. Perhaps several runs are mixed in one file.",
    "small-compute": "A warning: the column of compute seems to be in larger units than FLOPs: set `compute_unit`.",
    "published-law": "A warning: the laws are out of a paper. They are of its data, its tokens and its learning rates.",
    "beyond-published": "A warning: the models of this file, or their steps, are not like those that the published law "
    "was fitted to. The notes say in what, and by how much.",
    "foreign-metric": "A published law foretells one metric, and the file's is another one.",
    "missing-parameters": "A published law asks for the number of parameters of every candidate. A model says them; a "
    "file without one lists them.",
    "not-a-law": "What was published under this name says which shape is best for some compute. A plan needs the error "
    "of each shape.",
    "unsupported-law": "A warning: the data carry a law no further than they were measured, for the reasons that the "
    "notes give, each with its number: too little compute or too few points, a learning rate that falls, an exponent "
    "at its bound, a floor that was not found, residuals that are no noise, or a first half that does not foretell the "
    "second. A plan may use the law where it was measured; a saving by it is not quoted.",
    "mixed-laws": "Laws of unlike things stand in one program: another metric, convention, unit, evaluation, data or "
    "treatment of the learning rate. Their errors or their compute are not to be compared.",
    "stale-laws": "A warning: files that a table of laws was fitted to have changed since, or are gone. Fit again, or "
    "leave it: the laws are those of the files as they were.",
    "loose-law": "A warning: the points scatter about the law by more than measurements should.",
    "unsupported-saving": "A warning: no saving is quoted, of the plan or on its way. A law behind it is not carried "
    "by its runs or has too few resamples, too many of them never get to the plan's final error, or the saving's "
    "interval has 0 in it. The plan itself stands, and `shapeflow compare` measures what it saves.",
}
_WAYS = {
    "no-laws": "A traversal that picks by laws has none, or a plot has nothing to draw. Fit them to runs "
    "(`shapeflow sweep` makes runs), or state a law for each candidate.",
    "error-above-one": "A metric that is a share of wrong answers lies between 0 and 1, and a log holds more. Divide a "
    "column in percent by 100, or name another one.",
    "no-such-logs": "The pattern of a law source matches no file and no folder. Paths are relative to the file that "
    "names them, and wildcards are those of a shell: `*`, `?`, `**`.",
    "nothing-to-fit": "The file's laws are stated, or read as they are, so there is nothing to fit. Name runs: "
    "`laws from fit(...)`, in the file or by `--set`.",
    "refused-laws": "The data do not carry a law beyond what was measured. The report says why, each reason with its "
    "number: run longer, evaluate more often, add runs, or drop the candidate.",
    "law-without-runs": "There is a law for some candidates and not for this one. Add runs of it, state its law, or "
    "drop the candidate.",
    "missing-laws": "The traversal compares all candidates, so it needs a law for every one of them.",
    "missing-start": "Stated laws do not say where the measured part of training begins. Add `start at error ...`.",
    "target-above-start": "The run would begin below the error at which it is to stop. Lower the target.",
    "target-out-of-reach": "Every law has a floor that no compute takes away, and the target lies below all of them.",
    "no-way": "No law gets below the error at which the run starts, or the budget ends before it does. Start at a "
    "higher error, raise the budget, or check the laws.",
    "uncounted-budget": "Without a model a step costs an unknown number of FLOPs. State the budget in compute.",
    "steps-without-model": "Without a model a step costs an unknown number of FLOPs. State the setting in compute.",
    "ratio-without-budget": "A percentage is of the budget, and the file has none. Add one, or write an amount.",
    "unused-error": "A warning: `stop` and `start` are errors, which only laws foretell, and the file has no laws. The "
    "budget alone says where the plan ends.",
    "unreached-candidate": "A warning: the plan leaves a candidate out. Either its law is nowhere the cheapest, or the "
    "plan ends before its turn. Dropping the candidate says so on purpose.",
    "long-cooldown": "A warning: the cooldown begins before the last switch, or the rise of the learning rate behind "
    "it, is over. New entries then learn at a rate that falls already. Shorten it, or switch earlier.",
    "cooldown-left-out": "A warning: runs that laws are fitted to, and runs that are compared by the compute they "
    "need, keep a constant learning rate. `shapeflow run` cools down as the file says.",
    "empty-stage": "A warning: a stage is too short for a single step and is left out.",
    "too-many-steps": "A stage has more steps than any run makes: the budget is too large for a model this small.",
    "no-steps": "The whole plan is too short for a single step. Raise the budget.",
}
_SWITCHES = {
    "one-way-transition": "The transition can go one way only, such as from narrow to wide. Order the stages so.",
    "one-way": "An edit was asked to make a parameter smaller. A transition that grows can never shrink.",
    "not-blendable": "Steps of one stage may be shared among shapes that differ in how the parameters are read, as by "
    "patch or context. A width changes what is stored, so it needs a stage of its own.",
    "blend-without-model": "A warning: shares of steps are counted only where there are steps, so only with a model.",
    "no-patch": "The transition resizes patches, and the model has none.",
    "context-needs-rope": "The context of a model with learned positions cannot grow: new ones were never trained.",
    "rope-base-changed": "The transition reads rotary positions at other angles than they were trained at, so that the "
    "function changes. Choose the model's `rope_base` for the longest context and keep it, or set `allow_lossy: true`.",
    "dead-width": "With `gamma: 0` most new entries would be zero on both sides and never get a gradient.",
    "slot-contested": "Two transitions at one switch want different values for the same thing.",
    "broken-grain": "An edit would cut a head in two. Widths grow by whole heads.",
    "grow-under-view": "An edit would enlarge a parameter along a dim that is read through a view.",
    "not-arrived": "After its edits a parameter has not the size that the new shape needs: the transition forgot it. "
    "This is a mistake in the transition or the model, not in the file.",
    "unknown-parameter": "An edit names a parameter that the model does not declare: a mistake in a transition.",
    "unknown-dim": "An edit or a table names a dim that is not declared: a mistake in a transition or a model.",
    "unknown-role": "A model declares a parameter with a role that no transition knows: a mistake in the model.",
    "not-preserving": "On a small model a switch changes what its transition says it keeps, or a reading that was left "
    "is not found again. `shapeflow check` measures it. This is a mistake in the transition or the model.",
    "dead-entries": "New entries of a parameter have had no gradient by the second step, as where both sides of a "
    "product begin at zero: they would never learn. `shapeflow check` measures it. A mistake in the transition.",
    "wrong-state": "After a switch the averaged weights or the optimizer's state are not of the parameters' names and "
    "sizes: a mistake in the backend.",
    "no-slot": "An edit multiplies a number that the model does not have: a mistake in a transition.",
}
_FILES = {
    "broken-credits": "The file holds no credits, or was cut off or changed after it was written. Measure them again "
    "with `shapeflow probe`.",
    "foreign-credits": "The credits were measured with another model, data, objective, optimizer, metric or "
    "transition, so they say nothing here. Measure them again with `shapeflow probe`.",
    "broken-laws": "The file holds no laws, or was cut off or changed after it was written. Fit them again with "
    "`shapeflow fit`.",
    "cannot-read": "A file cannot be read. The note says what the system said.",
    "cannot-write": "A file cannot be written. The note says what the system said; the old file stays as it was.",
    "disk-full": "There was no room left. What was written before is whole: make room and go on with `--resume`.",
    "broken-plan": "The file is no plan, or one with missing, surplus or wrong parts. Compile it again.",
    "plan-edited": "A plan carries a digest of all it says, and this one says something else: it was changed after it "
    "was compiled. Change the `.shape` file and compile it again.",
    "plan-version": "The plan was made by a shapeflow that writes plans otherwise. Compile it again.",
    "plan-is-final": "`--let`, `--set` and `--seed` change what a `.shape` file says; a compiled plan cannot change.",
    "unknown-picture": "The kind of picture is told by the end of the file's name, such as `.svg` or `.png`.",
    "no-matplotlib": "Drawing needs matplotlib, which is not installed: `pip install shapeflow[plot]`.",
    "nothing-to-explain": "No component, sentence or diagnostic code has this name. `shapeflow explain` lists all.",
}
_RUNS = {
    "unknown-backend": "No installed distribution brings a backend of this name.",
    "unknown-metric": "A comparison is by a value that the runs measured. The note lists those.",
    "no-such-metric": "A run can stop at a value that it measures. The help lists those.",
    "no-such-device": "A run is on `cpu` or `cuda`; `auto` takes what there is.",
    "no-such-gpus": "More GPUs are asked for than this machine shows. The notes say which it shows.",
    "no-processes": "A run takes one process or more.",
    "contradicting-devices": "`--gpus N` asks for N processes on a GPU each. It contradicts `--device cpu`, and a "
    "count of `--processes` beside it.",
    "bad-launch": "RANK and WORLD_SIZE say that somebody else launched the processes of this run, as `torchrun` does. "
    "It then also sets MASTER_ADDR and MASTER_PORT, and all but the address are whole numbers.",
    "worker-lost": "A process of the run ended without a word, so the others were ended too. Go on with `--resume`.",
    "run-exists": "The folder holds a run. Go on with it by `--resume`, or take another folder.",
    "run-finished": "The run has made all its steps, so there is nothing to go on with.",
    "run-busy": "Another process is running in this folder.",
    "run-failed": "A run of a sweep or a comparison failed. The note holds what it said.",
    "no-run": "The folder holds no run: there is no plan in it.",
    "broken-log": "A line of a run's log cannot be read. Only its last line may be cut off.",
    "other-plan": "The folder holds a run of another plan. Take another folder, or remove it.",
    "data-changed": "The data is not what the run began with, so going on would mix two data sets.",
    "no-such-model": "The backend has no module for the plan's model.",
    "no-such-data": "The backend cannot read the plan's data.",
    "no-such-optimizer": "The backend has no such optimizer; it must know what becomes of its state at a switch.",
    "no-such-objective": "The backend cannot minimise the plan's objective.",
    "no-prefix-mask": "The objective says which tokens see each other, and the backend's module of the model has no "
    "such mask. Denoising is for `transformer`.",
    "no-such-view": "A plan reads a parameter through a view, and the backend's model does not: a mistake there.",
    "wrong-parameters": "The backend's module and the declared parameters differ: a mistake in the model.",
    "data-missing": "The data's files are not where they should be. The help says where they come from.",
    "data-mismatch": "The data is not what the file says of it, in the number of its classes or images. Compiling "
    "reads no data, so the file must say them; correct it, or the data.",
    "broken-image": "A file that ends as an image does cannot be read as one, or holds more than 8 bits a channel. "
    "Take it out, or save it anew.",
    "broken-tokens": "A file of tokens is not what its header says: cut off, changed, or of something else. Make it "
    "anew with `shapeflow tokenize`; both files belong together.",
    "other-tokens": "A file of tokens has another vocabulary, or another end of documents, than was set or than the "
    "plan was compiled for. Another tokenizer made it. Compile again, or name the file that was meant.",
    "tokens-exist": "A file of tokens is not replaced, since it may have taken hours and runs may read it. Choose "
    "another name, or remove it first.",
    "no-tokenizer": "A tokenizer is a `tokenizer.json` of the library `tokenizers`, a folder that holds one, "
    "or `bytes`.",
    "unknown-token": "The tokenizer does not have the token that is to end documents, or has none of a usual name. "
    "Name one by `--end`.",
    "no-text": "The sources hold no document. The notes say what was left out, and why.",
    "missing-extra": "A kind of file is read by a package that is not installed. The help says how to install it.",
    "context-too-long": "Training text or held-out text is shorter than the longest context. Use a longer text or "
    "shorter contexts.",
    "batch-not-divisible": "Every process takes the same part of each step, so the samples of every stage must "
    "divide by the number of processes. The help lists the numbers that do.",
    "loss-not-finite": "The loss became infinite or no number at all: training has diverged. Lower the learning rate "
    "or lengthen the warm-up.",
    "no-checkpoint": "There is no checkpoint to go on from.",
    "broken-checkpoint": "The checkpoint is not whole, or damaged. Go on from an older one.",
    "foreign-checkpoint": "The checkpoint was made by another plan. A run goes on with the plan that it began with.",
}

_ALL = (_SENTENCES, _VALUES, _COMPONENTS, _SHAPES, _LOGS, _WAYS, _SWITCHES, _FILES, _RUNS)

CODES: Mapping[str, str] = dict(sorted((code, text) for codes in _ALL for code, text in codes.items()))
"""Code -> one to three sentences, in alphabetical order."""
