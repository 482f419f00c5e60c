"""The look of a page: one style sheet, system fonts, light."""

CSS = """
:root { --ink: #1d2329; --muted: #5b6570; --line: #e2e6ea; --paper: #fff; --wash: #f6f7f9; --accent: #0b5cad; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI",
  Roboto, "Helvetica Neue", Arial, sans-serif; font-variant-numeric: tabular-nums; }
main { max-width: 1080px; margin: 0 auto; padding: 48px 32px 96px; }
h1 { font-size: 30px; line-height: 1.2; letter-spacing: -.015em; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 20px; letter-spacing: -.01em; margin: 64px 0 6px; }
h3 { font-size: 15px; margin: 28px 0 8px; }
p, li, h3, h4 { overflow-wrap: anywhere; }
p { margin: 0 0 14px; max-width: 46em; }
a { color: var(--accent); text-underline-offset: 2px; }
.muted, .note { color: var(--muted); }
.note { font-size: 14px; }
code, pre { font: 13px/1.55 ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace; }
code { overflow-wrap: anywhere; }
pre { background: var(--wash); border-radius: 8px; padding: 14px 16px; overflow-x: auto; margin: 0 0 14px; }
.facts { display: grid; grid-template-columns: minmax(250px, 1.7fr) repeat(3, 1fr); gap: 24px; margin: 32px 0 0;
  padding: 26px 0; border: solid var(--line); border-width: 1px 0; }
.facts div { min-width: 0; overflow-wrap: anywhere; }
.facts dt { font-size: 13px; color: var(--muted); margin: 0 0 2px; }
.facts dd { margin: 0; font-size: 24px; line-height: 1.25; font-weight: 600; letter-spacing: -.01em; }
.facts dd small { display: block; font-size: 13px; line-height: 1.45; font-weight: 400; letter-spacing: 0;
  color: var(--muted); margin-top: 4px; }
.facts .main dd { font-size: 54px; line-height: 1; letter-spacing: -.03em; }
.facts .main small { margin-top: 8px; }
.missing { background: #fff8e6; border: 1px solid #f0dfae; border-radius: 8px; padding: 12px 16px; margin: 24px 0 0;
  font-size: 14px; }
.missing ul { margin: 4px 0 0; padding-left: 20px; }
.wide { overflow-x: auto; margin: 0 0 18px;
  background: linear-gradient(to right, #fff 40%, transparent) left / 48px 100%,
  linear-gradient(to left, #fff 40%, transparent) right / 48px 100%,
  linear-gradient(to right, #0003, transparent) left / 12px 100%,
  linear-gradient(to left, #0003, transparent) right / 12px 100%; background-repeat: no-repeat;
  background-attachment: local, local, scroll, scroll; } /* a shadow where there is more */
figure > .wide { margin: 0; }
figure + .wide { margin-top: 18px; }
.stay { position: sticky; left: 0; width: max-content; max-width: min(100%, calc(100vw - 32px)); white-space: normal;
  overflow-wrap: anywhere; }
.narrow { display: none; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { padding: 6px 10px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { font-weight: 500; color: var(--muted); font-size: 13px; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
th:last-child, td:last-child { padding-right: 0; }
tbody th { color: var(--ink); font-weight: 400; font-size: 14px; }
tr.label th { padding-top: 20px; white-space: normal; font-weight: 600; text-align: left; overflow-wrap: anywhere; }
tr.label span { font-weight: 400; color: var(--muted); font-size: 13px; margin-left: 8px; }
td.strong { font-weight: 600; }
table.pairs td { text-align: left; white-space: normal; overflow-wrap: anywhere; padding-right: 0; }
table.pairs th { width: 34%; white-space: normal; text-align: left; overflow-wrap: anywhere; vertical-align: top; }
.swatch { display: inline-block; width: .7em; height: .7em; border-radius: 2px; margin-right: .5em;
  background: var(--colour); }
pre.command { white-space: pre-wrap; overflow-wrap: anywhere; }
.body th, .body td { padding-left: 4px; padding-right: 4px; }
.body th:first-child, .body td:first-child { text-align: right; padding-left: 0; }
.body tr.label th { text-align: left; padding-top: 10px; border-bottom: 0; }
.body .note { margin: 0; }
.figures > *, .panels > * { min-width: 0; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 420px), 1fr)); gap: 28px 32px;
  align-items: start; margin-top: 14px; }
.panels { display: grid; grid-template-columns: minmax(0, 1fr); gap: 28px; margin-top: 28px; }
.run td { white-space: normal; overflow-wrap: anywhere; min-width: 6.5em; }
figure { margin: 0; }
img { display: block; max-width: 100%; height: auto; }
details.case { border-bottom: 1px solid var(--line); }
details.case:first-of-type { border-top: 1px solid var(--line); }
details.case > summary { display: flex; align-items: center; gap: 8px 16px; padding: 10px 0; cursor: pointer;
  list-style: none; }
summary::-webkit-details-marker { display: none; }
details.case > summary::before { content: "\\25B8"; color: var(--muted); font-size: 13px; width: .8em; }
details.case[open] > summary::before { content: "\\25BE"; }
details.case > summary:hover .name { color: var(--accent); }
.name { flex: 1 1 10em; min-width: 0; font-weight: 600; overflow-wrap: anywhere; }
.track { position: relative; flex: 0 1 240px; height: 2px; margin: 0 6px; background: var(--line); }
.track i { position: absolute; left: var(--at); top: -4px; width: 10px; height: 10px; margin-left: -5px;
  border-radius: 50%; border: 1px solid #fff; background: var(--colour); }
.dice { flex: 0 0 3.2em; text-align: right; }
.tag { flex: 0 0 auto; font-size: 12px; border-radius: 10px; padding: 1px 9px; background: #fde8e4; color: #8f2a15; }
.tag.plain { background: #eceff2; color: var(--muted); }
.body { display: grid; grid-template-columns: minmax(0, 1.6fr) minmax(0, 1fr); gap: 32px; padding: 6px 0 28px;
  align-items: start; overflow-anchor: none; }
.body.alone { grid-template-columns: minmax(0, 1fr); gap: 14px; }
.body.alone table { max-width: 640px; }
.viewer { margin: 0 0 4px; }
@media (scripting: enabled) { .viewer { min-height: 420px; } }
.tools { display: flex; flex-wrap: wrap; align-items: center; gap: 6px 18px; margin: 0 0 10px; font-size: 14px; }
.tools label { display: inline-flex; align-items: center; gap: 6px; min-height: 28px; cursor: pointer; }
.tools input { accent-color: var(--accent); margin: 0; }
.tools select { font: inherit; color: inherit; padding: 2px 4px; border: 1px solid #c4cad1; border-radius: 6px;
  background: var(--paper); }
.tools .range input { width: 96px; }
.numbers { color: var(--muted); font-size: 13px; min-width: 6.5em; }
.planes { display: grid; gap: 12px; --tall: 1; }
.planes.of2 { grid-template-columns: repeat(2, minmax(0, 1fr)); }
.planes.of3 { grid-template-columns: repeat(3, minmax(0, 1fr)); }
.planes.of1 { max-width: 640px; }
.area { display: grid; gap: 4px; background: #0c0e10; border-radius: 6px; overflow: hidden; cursor: crosshair;
  touch-action: pan-y; user-select: none; -webkit-user-select: none; }
.area:focus-visible, .tools :focus-visible, figcaption :focus-visible, summary:focus-visible {
  outline: 3px solid var(--accent); outline-offset: 2px; }
.view { position: relative; }
.view canvas { display: block; width: 100%; aspect-ratio: 1 / var(--tall); }
.view span { position: absolute; color: #fff; font-size: 12px; line-height: 1; pointer-events: none;
  text-shadow: 0 0 3px #000, 0 0 2px #000; }
.e0 { left: 6px; top: calc(50% - 6px); }
.e1 { right: 6px; top: calc(50% - 6px); }
.e2 { top: 6px; left: calc(50% - 4px); }
.e3 { bottom: 6px; left: calc(50% - 4px); }
.view .of { left: 8px; top: 8px; }
.view .bar { right: 8px; bottom: 8px; padding-bottom: 5px; border-bottom: 2px solid #fff; text-align: center;
  white-space: nowrap; }
.plane figcaption:not([hidden]) { display: flex; align-items: center; flex-wrap: wrap; gap: 0 10px; font-size: 13px;
  color: var(--muted); margin-top: 4px; }
.plane figcaption input { flex: 1 1 100%; min-width: 0; margin: 4px 0; accent-color: var(--accent); }
details.more { margin: 20px 0; }
details.more > summary { cursor: pointer; font-weight: 500; }
details.more > *:not(summary) { margin-top: 12px; }
@media (max-width: 760px) {
  main { padding: 28px 16px 64px; }
  .narrow { display: block; margin: 16px 0 0; }
  h1 { font-size: 25px; }
  h2 { margin-top: 48px; }
  .facts { grid-template-columns: 1fr 1fr; gap: 20px 16px; }
  .facts .main { grid-column: 1 / -1; }
  .body { grid-template-columns: minmax(0, 1fr); gap: 14px; }
  details.case > summary { flex-wrap: wrap; }
  .name { flex-basis: calc(100% - 7em); }
  .tag, .track { order: 1; }
  .track { flex: 1 1 50%; margin: 4px 6px 8px; }
  th, td { padding: 6px 4px; }
  table { font-size: 13px; }
  .planes.of2, .planes.of3 { grid-template-columns: minmax(0, 1fr); gap: 18px; }
  .view canvas { aspect-ratio: 1 / var(--own); }
  .tools .range { flex: 1 1 100%; }
  .tools .range input { flex: 1; }
  tbody th { font-size: 13px; }
}
@media (prefers-reduced-motion: no-preference) { html { scroll-behavior: smooth; } }
@media print { details.case { break-inside: avoid; } main { max-width: none; padding: 0; } }
"""
