/** What the viewer makes of the spans of a trace: trees, whatever order they come in and whatever is missing. */
import fc from 'fast-check';
import { toTraceSpan } from '../../lib/viewer/model/trace-span.js';
import { buildTraceTrees, type TraceNode, type TraceTree } from '../../lib/viewer/model/trace-tree.js';
import { finishedSpan, type SpanSketch, traceId } from './finished-span.js';

const trees = (...sketches: SpanSketch[]) => buildTraceTrees(sketches.map(finishedSpan).map(toTraceSpan));

/** `root(child(grandchild)child)`, names only. */
const shape = (nodes: readonly TraceNode[]): string =>
  nodes.map(node => node.span.name + (node.children.length > 0 ? `(${shape(node.children)})` : '')).join(' ');

const shapes = (built: readonly TraceTree[]) => built.map(tree => shape(tree.roots));

describe('Trees of spans', () => {
  it('hang children below their parents although children finish first', () => {
    const built = trees({ id: '3', parent: '2', from: 2 }, { id: '2', parent: '1', from: 1 }, { id: '1' });
    expect(shapes(built)).toEqual(['1(2(3))']);
  });

  it('show siblings in the order they started, and in the order they came where the clock cannot tell', () => {
    const built = trees(
      { id: 'c', parent: '1', from: 5 },
      { id: 'z', parent: '1', from: 2 },
      { id: 'a', parent: '1', from: 2 },
      { id: '1' },
    );
    expect(shapes(built)).toEqual(['1(z a c)']);
  });

  it('are one per trace, in the order the traces appeared', () => {
    const built = trees({ id: '1', trace: 'b' }, { id: '1', trace: 'a' }, { id: '2', trace: 'b', parent: '1' });
    expect(built.map(tree => tree.traceId)).toEqual([traceId('b'), traceId('a')]);
    expect(shapes(built)).toEqual(['1(2)', '1']);
  });

  it('have several roots where parents have not been received, and say so', () => {
    const [tree] = trees({ id: '1' }, { id: '2', parent: 'lost', from: 3 });
    expect(tree?.roots.map(root => [root.span.name, root.isParentMissing])).toEqual([
      ['1', false],
      ['2', true],
    ]);
  });

  it('count a span that was received twice once', () => {
    const [tree] = trees({ id: '1', name: 'first' }, { id: '1', name: 'again' });
    expect([tree?.spanCount, shape(tree?.roots ?? [])]).toEqual([1, 'first']);
  });

  it('show every span of a circle of parents once', () => {
    const built = trees(
      { id: '2', parent: '3', from: 1 },
      { id: '3', parent: '2', from: 2 },
      { id: '4', parent: '4', from: 5 },
      { id: '1' },
    );
    expect(shapes(built)).toEqual(['1 2(3) 4']);
  });

  it('measure from the first start to the last end in whole nanoseconds', () => {
    const [tree] = trees({ id: '1', from: 10, to: 20.000001 }, { id: '2', parent: '1', from: 12.000003, to: 25 });
    expect(tree?.durationNs).toBe(15_000_000);
    expect(tree?.roots[0]).toMatchObject({ offsetNs: 0, durationNs: 10_000_001 });
    expect(tree?.roots[0]?.children[0]).toMatchObject({ offsetNs: 2_000_003, durationNs: 12_999_997 });
  });

  it('give a span whose clock was set back no negative duration', () => {
    expect(trees({ id: '1', from: 10, to: 4 })[0]?.roots[0]?.durationNs).toBe(0);
  });

  it('hold a chain deeper than the call stack', () => {
    const chain = Array.from({ length: 50_000 }, (_, index) => ({ id: `${index}`, ...(index > 0 && { parent: `${index - 1}` }) }));
    expect(trees(...chain)[0]?.spanCount).toBe(50_000);
  });

  it('contain every span exactly once, whatever its parents are and in whatever order spans come', () => {
    const sketch = fc.record({
      id: fc.integer({ min: 0, max: 20 }).map(String),
      parent: fc.integer({ min: 0, max: 25 }).map(String),
      from: fc.nat(9),
    });
    fc.assert(
      fc.property(fc.array(sketch, { maxLength: 40 }), sketches => {
        const built = trees(...sketches);
        const seen: string[] = [];
        const waiting = built.flatMap(tree => [...tree.roots]);
        for (let node = waiting.pop(); node; node = waiting.pop()) {
          seen.push(node.span.spanId);
          for (const child of node.children) expect(child.span.parentSpanId).toBe(node.span.spanId);
          waiting.push(...node.children);
        }
        expect(seen.sort()).toEqual([...new Set(seen)]);
        expect(seen.length).toBe(new Set(sketches.map(({ id }) => id)).size);
        expect(built[0]?.spanCount ?? 0).toBe(seen.length);
      }),
    );
  });
});
