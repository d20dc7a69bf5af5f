#!/usr/bin/env node
/**
 * Makes the pictures of the README from a run of the order system: the terminal and the page of the viewer.
 * Needs Chromium (CHROMIUM_PATH, or Debian's path). Run: npm run pictures
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const root = fileURLToPath(new URL('../', import.meta.url));
const folder = `${root}docs/pictures/`;

// Not a literal, because eslint forbids control characters in regular expressions.
const ESCAPE = new RegExp(`${String.fromCharCode(27)}\\[(\\d+)m`);

const STYLE = `
  body { margin: 0 }
  pre { font: 14px/1.25 'DejaVu Sans Mono', monospace; padding: 16px 20px; margin: 0; display: inline-block }
  pre.light { background: #f6f8fa; color: #1f2328 } pre.dark { background: #0d1117; color: #e6edf3 }
  .bold { font-weight: 700 } .dim { opacity: .65 }
  .light .red { color: #b3261e } .dark .red { color: #ff7b72 } .light .cyan { color: #0b7285 } .dark .cyan { color: #56d4dd }
`;

mkdirSync(folder, { recursive: true });
const viewer = spawn(process.execPath, ['dist/esm/command.js', 'viewer', '--port', '0'], {
  cwd: root,
  stdio: ['ignore', 'pipe', 'inherit'],
});
process.once('exit', () => viewer.kill());
const [started] = await once(viewer.stdout, 'data');
const url = /shown at (http\S+)/.exec(String(started))[1];

const output = await runSample(url);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM_PATH || '/usr/bin/chromium',
  args: ['--no-sandbox', '--hide-scrollbars'],
});
try {
  for (const colorScheme of ['light', 'dark']) {
    const context = await browser.newContext({ colorScheme, deviceScaleFactor: 2, viewport: { width: 1200, height: 480 } });
    await takeTerminal(context, colorScheme);
    await takePage(context, colorScheme);
    await context.close();
  }
} finally {
  await browser.close();
  viewer.kill();
}

/** Runs the sample, sends its traces to `collector`, and returns the output. */
async function runSample(collector) {
  const env = { ...process.env, FORCE_COLOR: '1', COLUMNS: '96', OTEL_EXPORTER_OTLP_ENDPOINT: collector };
  const run = spawn(process.execPath, ['sample/dist/run.js'], { cwd: root, env, stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  run.stdout.on('data', chunk => (text += chunk));
  const [code] = await once(run, 'close');
  if (code !== 0) throw new Error(`The sample failed:\n${text}`);
  return text;
}

async function takePage(context, colorScheme) {
  const { traces } = await (await fetch(`${url}/api/traces`)).json();
  const slowest = traces.filter(({ spanCount }) => spanCount > 10).at(0) ?? traces[0];
  const page = await context.newPage();
  await page.goto(`${url}/trace/${slowest.traceId}`);
  await page.getByRole('treegrid').waitFor();
  await page.getByText('Live').waitFor();
  await save(page, `viewer-${colorScheme}`);
}

async function takeTerminal(context, colorScheme) {
  const block = output.split('\n\n').find(part => part.includes('orders/3') && part.includes('█'));
  if (block === undefined) throw new Error(`No block of a failed request in:\n${output}`);
  const page = await context.newPage();
  await page.setContent(`<style>${STYLE}</style><pre class="${colorScheme}"></pre>`);
  await page.locator('pre').evaluate((pre, pieces) => {
    for (const { text, classes } of pieces) {
      const span = pre.ownerDocument.createElement('span');
      span.textContent = text;
      span.className = classes;
      pre.append(span);
    }
  }, coloured(block));
  await save(page, `terminal-${colorScheme}`, await page.locator('pre').boundingBox());
}

/** Saves a picture as WebP. The pictures are part of the package, and a PNG is four times as large. */
async function save(page, name, box) {
  const browser = await page.context().newCDPSession(page);
  const clip = box && { ...box, scale: 1 };
  const { data } = await browser.send('Page.captureScreenshot', { format: 'webp', quality: 80, ...(clip && { clip }) });
  writeFileSync(`${folder}${name}.webp`, Buffer.from(data, 'base64'));
}

/** Splits the text into pieces, each with the class names of its colours and weights. */
function coloured(text) {
  const names = { 1: 'bold', 2: 'dim', 31: 'red', 36: 'cyan' };
  const ends = { 22: ['bold', 'dim'], 39: ['red', 'cyan'] };
  let active = new Set();
  return text.split(ESCAPE).flatMap((part, index) => {
    if (index % 2 === 0) return part === '' ? [] : [{ text: part, classes: [...active].join(' ') }];
    if (names[part]) active = new Set([...active, names[part]]);
    else active = new Set([...active].filter(name => !ends[part]?.includes(name)));
    return [];
  });
}
