/**
 * What the viewer's page weighs and how fast it is, in Chromium against the real server, beside the bars it has to hold.
 * `node test/bench/viewer.mjs [--runs 9]`; needs Chromium (CHROMIUM_PATH, or where test/viewer/page/chromium.ts looks for it).
 */
/* global document, window, performance, MutationObserver, requestAnimationFrame */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { chromium } from 'playwright-core';

const root = fileURLToPath(new URL('../../', import.meta.url));
const { values } = parseArgs({ options: { runs: { type: 'string', default: '9' } } });
const runs = Number(values.runs);
const WARM_UPS = 5;

const { RunningViewer, findChromium, large, plain, builtPage } = await loadFixtures();
const executablePath = findChromium();
if (executablePath === undefined) throw new Error('No Chromium: set CHROMIUM_PATH.');
const viewer = new RunningViewer();
await viewer.start();
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
const report = [];
try {
  row('page, gzipped', '≤ 30 KB', [gzipSync(builtPage, { level: 9 }).length / 1024], 'KB');
  for (const [count, bar] of [
    [10_000, '≤ 200 ms'],
    [50_000, '≤ 600 ms'],
  ]) {
    const traceId = viewer.add(large(count, Date.now(), count));
    row(`first waterfall, ${count} spans`, bar, await repeat(() => firstWaterfall(traceId)), 'ms');
    const scrolls = await repeat(() => scroll(traceId), Math.ceil(runs / 3));
    row(
      `scrolling ${count} spans, frames within 20 ms`,
      '≥ 95 %',
      scrolls.map(({ smooth }) => smooth),
      '%',
    );
    row(
      `scrolling ${count} spans, DOM nodes`,
      '< 400',
      scrolls.map(({ nodes }) => nodes),
      '',
    );
  }
  row('live: a span in the list', '≤ 250 ms', await liveUpdates(), 'ms');
} finally {
  await browser.close();
  await viewer.stop();
}
console.log('| what | bar | median | from – to |\n| --- | --- | --- | --- |');
for (const line of report) console.log(line);

function row(what, bar, numbers, unit) {
  const sorted = numbers.toSorted((a, b) => a - b);
  const text = value => `${value < 100 ? value.toFixed(1) : Math.round(value)} ${unit}`.trim();
  report.push(`| ${what} | ${bar} | ${text(sorted[Math.floor(sorted.length / 2)])} | ${text(sorted[0])} – ${text(sorted.at(-1))} |`);
}

async function repeat(measure, times = runs) {
  // The first ones warm server and browser up, as those of a developer are, not the page: each run is a new browser context.
  for (let run = 0; run < WARM_UPS; run += 1) await measure();
  const numbers = [];
  for (let run = 0; run < times; run += 1) numbers.push(await measure());
  return numbers;
}

async function withPage(use) {
  const context = await browser.newContext({ viewport: { width: 1400, height: 900 } });
  try {
    return await use(await context.newPage());
  } finally {
    await context.close();
  }
}

/** From the start of the navigation to the frame after the first row is there. */
function firstWaterfall(traceId) {
  return withPage(async page => {
    await page.addInitScript(() => {
      const observer = new MutationObserver(() => {
        if (!document.querySelector('.rows .span-row .bar')) return;
        observer.disconnect();
        requestAnimationFrame(() => setTimeout(() => (window.firstWaterfallMs = performance.now())));
      });
      observer.observe(document, { childList: true, subtree: true });
    });
    await page.goto(`${viewer.url}/trace/${traceId}`);
    return (await page.waitForFunction(() => window.firstWaterfallMs)).jsonValue();
  });
}

/** Five seconds of steady scrolling, and the nodes there were at most. */
function scroll(traceId) {
  return withPage(async page => {
    await page.goto(`${viewer.url}/trace/${traceId}`);
    await page.waitForSelector('.rows .span-row .bar');
    await page.waitForTimeout(500);
    return page.evaluate(async () => {
      const scroller = document.querySelector('.scroller');
      const frame = () => new Promise(resolve => requestAnimationFrame(resolve));
      const frames = [];
      let nodes = 0;
      let before = await frame();
      while (frames.length < 300) {
        scroller.scrollTop += 90;
        const now = await frame();
        frames.push(now - before);
        before = now;
        nodes = Math.max(nodes, document.querySelectorAll('*').length);
      }
      return { smooth: (frames.filter(ms => ms <= 20).length / frames.length) * 100, nodes };
    });
  });
}

/** From the moment the server has a span to the frame that shows it. */
function liveUpdates() {
  return withPage(async page => {
    await page.goto(viewer.url);
    await page.waitForSelector('.connection.live');
    const numbers = [];
    for (let run = 0; run < 20; run += 1) {
      const name = `GET /live/${run}`;
      const shown = page.evaluate(
        text =>
          new Promise(resolve => {
            const observer = new MutationObserver(() => {
              if (!document.body.textContent.includes(text)) return;
              observer.disconnect();
              requestAnimationFrame(() => resolve(Date.now()));
            });
            observer.observe(document.body, { childList: true, subtree: true, characterData: true });
          }),
        name,
      );
      await page.waitForTimeout(150);
      const added = Date.now();
      viewer.add(plain(900_000 + run, added, name));
      numbers.push((await shown) - added);
    }
    return numbers;
  });
}

/** The specs' own fixtures, which are TypeScript. */
async function loadFixtures() {
  const outfile = join(root, 'node_modules/.cache/bench-viewer/fixtures.mjs');
  mkdirSync(join(outfile, '..'), { recursive: true });
  const contents = ['running-viewer', 'generated-traces', 'chromium'].map(name => `export * from './${name}.js';`).join('\n');
  await build({
    stdin: {
      contents: `${contents}\nexport { builtPage } from '../../../lib/viewer/page/built-page.js';`,
      resolveDir: join(root, 'test/viewer/page'),
      loader: 'ts',
    },
    bundle: true,
    packages: 'external',
    format: 'esm',
    platform: 'node',
    outfile,
    logLevel: 'error',
  });
  return import(pathToFileURL(outfile).href);
}
