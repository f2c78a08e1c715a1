"""The style of a report: light and dark, on paper, and on a narrow screen."""

from shapeflow.preview.figure import COLORS as LIGHT

DARK = ("#6bb6f5", "#ff8a80", "#7fd08f", "#c9a0ea", "#f0a35a", "#5cc9cd", "#f590c4", "#aab4bb")


def _colors(colors: tuple[str, ...]) -> str:
    return "".join(f".k{number}{{color:{color}}}" for number, color in enumerate(colors))


_DARK = "--ink:#e8eaed;--soft:#b4bac1;--page:#14171a;--line:#3b4248;--fill:#20252a"
STYLE = f"""
:root{{color-scheme:light dark;--ink:#1b1f23;--soft:#50585f;--page:#fff;--line:#cfd5da;--fill:#f3f5f7}}
*{{box-sizing:border-box}}
body{{margin:0 auto;max-width:64rem;padding:1rem 1rem 3rem;color:var(--ink);background:var(--page);
font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}}
h1{{font-size:1.5rem;line-height:1.25;margin:.5rem 0}}
h2{{font-size:1.2rem;margin:2.2rem 0 .5rem;border-top:1px solid var(--line);padding-top:1rem}}
h3{{font-size:1rem;margin:1.4rem 0 .3rem}}
p{{margin:.4rem 0}}
.answer{{font-size:1.2rem;font-weight:600;padding:.7rem 1rem;background:var(--fill);border-left:4px solid var(--ink)}}
.state{{padding:.5rem 1rem;background:var(--fill);border-left:4px solid #c77700}}
.soft,figcaption{{color:var(--soft);font-size:.9rem}}
figure{{margin:1rem 0}}
.box{{overflow-x:auto;max-width:100%}}
.box:focus-visible{{outline:2px solid currentColor}}
figure>svg{{display:block;width:100%;max-width:36rem;height:auto}}
figure>svg.strip{{max-width:none;height:40px}}
.strip rect{{stroke:var(--page)}}
.ends{{display:flex;justify-content:space-between;margin:.1rem 0 .4rem}}
.pair{{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(19rem,100%),1fr));gap:0 1.5rem}}
table{{border-collapse:collapse;margin:.4rem 0;font-size:.9rem;font-variant-numeric:tabular-nums}}
th,td{{padding:.25rem .7rem .25rem 0;vertical-align:top;overflow-wrap:normal}}
thead th,thead td{{border-bottom:1px solid var(--line);color:var(--soft);vertical-align:bottom;white-space:normal}}
tbody th{{font-weight:500;text-align:left}}
.text{{min-width:5rem}}
.short{{min-width:0;white-space:nowrap}}
.number{{text-align:right;white-space:nowrap}}
.text{{text-align:left}}
ul.key{{list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;padding:0;margin:.3rem 0;font-size:.9rem}}
ul.key li{{display:flex;align-items:baseline}}
ul.key svg{{flex:none;width:1.7rem;height:.8rem;margin-right:.4rem}}
ul.key span{{color:var(--ink)}}
pre,code{{font:.85rem/1.5 ui-monospace,monospace}}
pre{{background:var(--fill);padding:.6rem .8rem;margin:.4rem 0;white-space:pre-wrap}}
summary{{cursor:pointer;font-weight:500}}
svg text{{fill:var(--ink);font:13px system-ui,sans-serif}}
svg .grid{{stroke:var(--line)}}
svg .inside{{fill:var(--page);font-weight:600}}
.plan{{color:var(--ink)}}
{_colors(LIGHT)}
@media (prefers-color-scheme:dark){{:root{{{_DARK}}}{_colors(DARK)}}}
@media print{{
:root{{--ink:#000;--soft:#333;--page:#fff;--line:#bbb;--fill:#fff}}
{_colors(LIGHT)}
body{{max-width:none;padding:0;font-size:11pt}}
table{{font-size:8.5pt}}
th,td{{padding-right:.5rem}}
figure,tr,.answer,.pair>div{{break-inside:avoid}}
h2,h3{{break-after:avoid}}
.box{{overflow:visible}}
details::details-content{{content-visibility:visible;block-size:auto}}
}}
"""
