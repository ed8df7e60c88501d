/** What the pages share: escaping, and a frame without any file beside it. */
import { visible } from "./clean.ts";

/** Text for HTML: nothing in it is markup. */
export function escape(text: string): string {
  const entities: Record<string, string> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
  };
  return visible(text).replace(/[&<>"']/g, (c) => entities[c]);
}

const STYLE = `
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin: 1.6rem 0 0.2rem; }
.sum { font-size: 1.2rem; } .title, .where { color: #666; font-size: 0.9rem; margin: 0; }
pre { background: #f5f5f5; padding: 0.6rem 0.8rem; white-space: pre-wrap; overflow-wrap: anywhere; border-left: 3px solid #c33; margin: 0.4rem 0; }
.passed h2::before { content: "✓ "; color: #2a7; } .failed h2::before { content: "✗ "; color: #c33; }
.open h2::before { content: "· "; color: #888; }
.note { background: #fff6dd; padding: 0.4rem 0.8rem; margin: 0.4rem 0; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: 0.25rem 0.6rem; border-bottom: 1px solid #ddd; vertical-align: top; }
td.number, th.number { text-align: right; } .bar { background: #4a7fb5; height: 0.9rem; min-width: 1px; }`;

/** A whole page that needs no other file and runs no script. */
export function page(title: string, body: string): string {
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escape(title)}</title>
<style>${STYLE}</style>
</head>
<body>
${body}
</body>
</html>
`;
}
