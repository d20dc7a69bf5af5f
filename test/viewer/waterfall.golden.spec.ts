/** Whole blocks of the terminal's waterfall, kept as files: `UPDATE_GOLDEN=1 npm test -- golden` writes them anew. */
import { readFileSync, writeFileSync } from 'node:fs';
import { Writable } from 'node:stream';
import { SpanKind } from '@opentelemetry/api';
import { WaterfallExporter } from '../../lib/viewer/index.js';
import { buildTraceTrees } from '../../lib/viewer/model/trace-tree.js';
import type { TraceSpan } from '../../lib/viewer/model/trace-span.js';
import { ASCII, COLOURED, UNCOLOURED, UNICODE } from '../../lib/viewer/terminal-style.js';
import { cellsOf } from '../../lib/viewer/terminal-text.js';
import { drawWaterfall } from '../../lib/viewer/waterfall.js';
import { finishedSpan } from './finished-span.js';
import { checkout, spansOf } from './page/generated-traces.js';

const NOON = 1_790_000_000_000;

function block(spans: readonly TraceSpan[], columns: number, { glyphs = UNICODE, paint = UNCOLOURED } = {}): string {
  const layout = { columns, glyphs, paint, maxRows: 100, workingDirectory: '/app' };
  return buildTraceTrees(spans)
    .map(tree => drawWaterfall(tree, layout))
    .join('');
}

const wide = spansOf(9, NOON, [
  {
    name: 'POST /注文/:id',
    kind: 'server',
    from: 0,
    to: 20,
    children: [
      { name: '注文サービス.注文をデータベースから読み込む処理', from: 1, to: 12, children: [{ name: 'SELECT 注文', from: 2, to: 11 }] },
      { name: 'send 📦 to 👩‍🚀 in the warehouse that is far away', from: 12, to: 19 },
    ],
  },
]);

function expectGolden(name: string, text: string): void {
  const file = new URL(`./golden/${name}.txt`, import.meta.url);
  if (process.env['UPDATE_GOLDEN'] !== undefined) writeFileSync(file, text);
  expect(text).toBe(readFileSync(file, 'utf8'));
}

describe('A block of the terminal’s waterfall', () => {
  it.each([60, 80, 200])('fits into %d columns', columns => {
    const text = block(checkout(2, NOON), columns);
    for (const line of text.split('\n')) expect(cellsOf(line)).toBeLessThanOrEqual(columns);
    expectGolden(`columns-${columns}`, text);
  });

  it('can be coloured', () => expectGolden('coloured', block(checkout(2, NOON), 80, { paint: COLOURED })));

  it('can be plain ASCII', () => expectGolden('ascii', block(checkout(2, NOON), 80, { glyphs: ASCII })));

  it('keeps its columns below each other where characters are wide', () => expectGolden('wide-characters', block(wide, 60)));

  it('is whole where ten requests finish at once', () => {
    const chunks: string[] = [];
    const stream = new Writable({ write: (chunk: Buffer, _encoding, done) => done(void chunks.push(chunk.toString())) });
    const requests = Array.from({ length: 10 }, (_, index) => `${index}`);
    const spans = [
      ...requests.map(trace => ({ trace, id: '2', name: `OrdersService.load ${trace}`, parent: '1', from: 1, to: 4 })),
      ...requests.map(trace => ({ trace, id: '1', name: 'GET /orders/:id', kind: SpanKind.SERVER, to: 5 + Number(trace) })),
    ];
    new WaterfallExporter({ stream, colour: false, columns: 80 }).export(spans.map(finishedSpan), () => undefined);
    expectGolden('ten-at-once', chunks.join(''));
  });
});
