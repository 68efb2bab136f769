"""Style of the report: one sheet for phone and desk, for light and dark.

What comes in: nothing. What it leaves: `STYLE`. Fonts are those of the reader's machine. Each colour of a text has a
contrast of at least 4.5 to 1 with what is behind it.
"""

COLOURS = """
:root {
  color-scheme: light dark;
  --page: #fcfcfa; --card: #f4f4f0; --line: #dfdfd8; --ink: #1c1e21; --soft: #5a6068; --link: #1b5aa8; --bar: #8aa9cc;
  --good: #17602b; --good-back: #e0f1e4; --warn: #734700; --warn-back: #faecc9; --bad: #96211a; --bad-back: #fbe3e0;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #141619; --card: #1d2024; --line: #33373d; --ink: #e7e8ea; --soft: #a3a9b1; --link: #86b6f5; --bar: #4c6f99;
    --good: #8fdca4; --good-back: #17331f; --warn: #f0c674; --warn-back: #392b10; --bad: #f5a39b; --bad-back: #411d1a;
  }
}
"""

FRAME = """
* { box-sizing: border-box; margin: 0; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body {
  max-width: 72rem; margin: 0 auto; padding: 3rem 1.25rem 6rem; background: var(--page); color: var(--ink);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; overflow-wrap: anywhere;
}
h1 { font-size: clamp(1.9rem, 1.4rem + 2.4vw, 2.8rem); line-height: 1.15; letter-spacing: -.02em; font-weight: 680; }
h2 { font-size: 1.45rem; line-height: 1.25; letter-spacing: -.01em; font-weight: 650; margin-bottom: 1.5rem; }
h3 { font-size: 1rem; font-weight: 620; }
a { color: var(--link); text-underline-offset: .2em; }
ul, ol { padding: 0; list-style: none; }
small, .note, figcaption { font-size: .85rem; color: var(--soft); }
code { font: .92em/1.6 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; }
.kicker { font-size: .85rem; color: var(--soft); margin-bottom: .35rem; }
.none { color: var(--soft); font-style: italic; }
.text { white-space: pre-wrap; unicode-bidi: isolate; }
nav {
  display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: 1.5rem 0 0; padding: .75rem 0; font-size: .9rem;
  border-block: 1px solid var(--line);
}
nav a { text-decoration: none; padding: .2rem 0; }
nav a:hover { text-decoration: underline; }
section { margin-top: 4.5rem; scroll-margin-top: 1rem; }
#verdict { margin-top: 2.5rem; }
#verdict h2 { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
:focus-visible { outline: 2px solid var(--link); outline-offset: 3px; border-radius: 4px; }
"""

MODELS = """
.verdict { display: inline-block; padding: .2rem .9rem; border-radius: 99px; font-weight: 650; }
.lead { font-size: clamp(1.35rem, 1.1rem + 1.2vw, 1.8rem); line-height: 1.3; margin: .9rem 0 .6rem; font-weight: 560; }
.reasons { max-width: 52rem; color: var(--soft); display: grid; gap: .35rem; }
.good, .new .mark, .mark.new { background: var(--good-back); color: var(--good); }
.warn, .copied .mark, .mark.copied { background: var(--warn-back); color: var(--warn); }
.bad, .invalid .mark, .mark.invalid { background: var(--bad-back); color: var(--bad); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); gap: 1rem; }
.tiles { margin-top: 2.25rem; }
.tile h3::first-letter, .measures th::first-letter, .head span::first-letter { text-transform: uppercase; }
.tile, .card { background: var(--card); border-radius: 10px; padding: 1.1rem 1.25rem; min-width: 0; }
.tile h3 { font-size: .85rem; color: var(--soft); font-weight: 560; margin-bottom: .55rem; }
.tile dl > div { display: flex; justify-content: space-between; gap: 1rem; align-items: baseline; padding: .12rem 0; }
.tile dt { color: var(--soft); font-size: .9rem; }
.tile dd { font-variant-numeric: tabular-nums; text-align: right; }
.tile .challenger :is(dt, dd) { color: var(--ink); font-weight: 680; }
.tile .challenger dd { font-size: 1.15rem; }
.tile .floor { margin-top: .3rem; border-top: 1px dashed var(--line); }
.legend { display: flex; flex-wrap: wrap; gap: .4rem 1.5rem; font-size: .85rem; color: var(--soft); }
.mark { display: inline-block; padding: 0 .55rem; border-radius: 99px; font-size: .78rem; font-weight: 620; }
.prompt { margin-top: 2.75rem; }
.prompt h3 { display: flex; flex-wrap: wrap; gap: .2rem .9rem; align-items: baseline; }
.prompt q { font-size: 1.1rem; }
.flags { margin-top: .4rem; display: grid; gap: .2rem; font-size: .88rem; color: var(--warn); }
.flags li::before { content: "Note: "; font-weight: 620; }
.columns { display: grid; grid-template-columns: repeat(var(--models), minmax(0, 1fr)); gap: .75rem; }
.columns + .columns { margin-top: .75rem; }
.columns.head { margin-top: .9rem; font-size: .85rem; color: var(--soft); padding: 0 .1rem; }
.head + .columns { margin-top: .35rem; }
.columns figure { background: var(--card); border-radius: 8px; padding: .75rem 1rem .85rem; }
.columns figure { border-left: 3px solid var(--line); min-width: 0; font-size: .95rem; line-height: 1.5; }
.columns figure.new { border-color: var(--good); }
.columns figure.copied { border-color: var(--warn); }
.columns figure.invalid { border-color: var(--bad); }
.columns figcaption { display: flex; gap: .6rem; align-items: center; }
.columns figcaption:has(.mark) { margin-bottom: .3rem; }
.who { display: none; }
.scroll {
  overflow-x: auto; max-width: 100%;
  background: /* a shade at the right as long as there is more to scroll to */
    linear-gradient(to left, var(--page) 40%, transparent) 100% 0 / 3rem 100% no-repeat local,
    linear-gradient(to left, var(--line), transparent) 100% 0 / 1rem 100% no-repeat scroll;
}
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { text-align: left; padding: .6rem 1.25rem .6rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
thead th { font-size: .85rem; color: var(--soft); font-weight: 560; }
tbody th { font-weight: 500; min-width: 11rem; }
tbody th small { display: block; font-weight: 400; }
td { min-width: 8rem; }
.measures td:nth-child(3) { font-weight: 620; }
.prompt h3 small { font-weight: 400; }
@media (min-width: 62rem) {
  .tiles.of5 { grid-template-columns: repeat(6, minmax(0, 1fr)); }
  .of5 .tile { grid-column: span 2; }
  .of5 .tile:nth-child(-n + 2) { grid-column: span 3; }
}
"""

REST = """
.plot { max-width: 60rem; }
.plot svg { display: block; width: 100%; height: auto; overflow: visible; }
.plot .narrow { display: none; }
.plot figcaption { margin-top: .75rem; }
.cards { columns: 2 24rem; column-gap: 1rem; }
.card { break-inside: avoid; margin-bottom: 1rem; }
.card h3 { margin-bottom: .6rem; }
.rows { font-size: .92rem; max-width: 60rem; }
.rows > div { display: grid; grid-template-columns: minmax(7rem, 11rem) minmax(0, 1fr); gap: .1rem 1.25rem; }
.rows > div { padding: .35rem 0; }
.rows > div + div { border-top: 1px solid var(--line); }
.rows dt { color: var(--soft); }
dd code { display: block; }
.bars > div { grid-template-columns: 8rem minmax(0, 1fr); align-items: center; border: 0; padding: .15rem 0; }
.card .bars > div { grid-template-columns: 5.5rem minmax(0, 1fr); }
.bars > div + div { border: 0; }
.bars dd { display: grid; grid-template-columns: minmax(0, 1fr) 5rem; gap: .75rem; align-items: center; }
.bars i { display: block; height: .6rem; min-width: 2px; border-radius: 3px; background: var(--bar); }
.bars dd span { font-variant-numeric: tabular-nums; text-align: right; }
#timings .note { margin-top: .75rem; }
.lineage { max-width: 60rem; border-left: 2px solid var(--line); padding-left: 1.5rem; display: grid; gap: 1.25rem; }
.lineage li { position: relative; display: grid; gap: .1rem; }
.lineage li::before {
  content: ""; position: absolute; left: calc(-1.5rem - 6px); top: .5rem; width: 10px; height: 10px; border-radius: 50%;
  background: var(--bar); box-shadow: 0 0 0 3px var(--page);
}
.lineage code { color: var(--soft); }
@media (max-width: 45rem) {
  body { padding: 1.75rem 1rem 4rem; }
  section { margin-top: 3.25rem; }
  .columns { grid-template-columns: minmax(0, 1fr); gap: .5rem; }
  .columns.head { display: none; }
  .columns + .columns { margin-top: 1.25rem; }
  .who { display: inline; }
  .columns figcaption { margin-bottom: .3rem; }
  .rows:not(.bars) > div { grid-template-columns: minmax(0, 1fr); }
  .bars > div { grid-template-columns: 5.5rem minmax(0, 1fr); }
  tbody th { min-width: 8.5rem; }
  th, td { padding-right: 1rem; }
  td { min-width: 6rem; }
  .plot .wide { display: none; }
  .plot .narrow { display: block; }
}
@media print { nav { display: none; } section { break-inside: avoid-page; } }
"""

STYLE = COLOURS + FRAME + MODELS + REST
"""The sheet; it holds no character that HTML would escape."""
