/** Compares two traces by call path: what became slower or faster, and what only one of them has. */
import type { JSX } from 'preact';
import { useMemo } from 'preact/hooks';
import { type CallPath, callPaths } from '../model/call-paths.js';
import { formatDifference, formatDuration } from '../model/duration.js';
import { useKeys } from './keys.js';
import { percent } from './bar-drawing.js';
import { goToList, hrefOf } from './address.js';
import { displayName, formatCount, oneLine } from './plain-text.js';
import { hueStyle } from './service-colours.js';
import { useTitle } from './store.js';
import { NoTrace } from './trace-page.js';
import { type LoadedTrace, useTrace } from './trace-source.js';
import { rowAt, VirtualRows } from './virtual-rows.js';

export function ComparePage({ a, b }: { readonly a: string; readonly b: string }): JSX.Element {
  const first = useTrace(a);
  const second = useTrace(b);
  if (typeof first === 'string') return <NoTrace state={first} traceId={a} />;
  if (typeof second === 'string') return <NoTrace state={second} traceId={b} />;
  return <Comparison a={first} b={second} />;
}

const ROW_HEIGHT = 26;

function Comparison({ a, b }: { readonly a: LoadedTrace; readonly b: LoadedTrace }): JSX.Element {
  const paths = useMemo(() => callPaths([a.forest, b.forest]), [a, b]);
  const largestNs = useMemo(() => paths.reduce((largest, path) => Math.max(largest, Math.abs(difference(path))), 1), [paths]);
  useTitle('Two traces compared');
  useKeys({ u: goToList, Escape: goToList });
  const totalDifference = b.forest.totalNs - a.forest.totalNs;
  return (
    <main class="compare">
      <div class="heading">
        <div class="title">
          <h1>Two traces compared</h1>
          <strong class={totalDifference > 0 ? 'slower' : 'faster'}>{formatDifference(totalDifference)}</strong>
          <span class="dim">from A to B</span>
        </div>
      </div>
      <VirtualRows
        class="comparison"
        count={paths.length}
        rowHeight={ROW_HEIGHT}
        role="treegrid"
        label="Spans of both traces"
        columnCount={4}
        active={-1}
        header={
          <div class="pair-row titles" role="row" aria-rowindex={1}>
            <span role="columnheader">Span</span>
            <Side name="A" trace={a} />
            <Side name="B" trace={b} />
            <span role="columnheader">B − A</span>
          </div>
        }
        row={index => {
          const path = paths[index];
          return (
            path && (
              <PathRow
                key={index}
                index={index}
                path={path}
                isOtherService={path.service !== paths[path.parent]?.service}
                largestNs={largestNs}
              />
            )
          );
        }}
      />
    </main>
  );
}

function Side({ name, trace: { forest } }: { readonly name: string; readonly trace: LoadedTrace }): JSX.Element {
  return (
    <span role="columnheader" class="right">
      <a href={hrefOf({ traceId: forest.traceId, query: {} })}>
        {name} · {forest.traceId.slice(0, 8)}
      </a>{' '}
      {formatDuration(forest.totalNs)}
    </span>
  );
}

function PathRow({
  index,
  path,
  isOtherService,
  largestNs,
}: {
  readonly index: number;
  readonly path: CallPath;
  /** Whether the service differs from that of the path above. */
  readonly isOtherService: boolean;
  /** The largest difference of all paths, which has the longest bar. */
  readonly largestNs: number;
}): JSX.Element {
  const { service, name, depth, sides } = path;
  const [countA, countB] = [sides[0]?.count ?? 0, sides[1]?.count ?? 0];
  const by = difference(path);
  const share = (Math.abs(by) / largestNs) * 0.6;
  const verdict = countA === 0 ? 'only in B' : countB === 0 ? 'only in A' : formatDifference(by);
  return (
    <div {...rowAt(index, ROW_HEIGHT, { '--depth': String(depth), ...hueStyle(service) })} class="pair-row" aria-level={depth + 1}>
      <span role="gridcell" class="tree leaf" title={oneLine(name)}>
        <span class="name">{displayName(name)}</span>
        {isOtherService && <b>{oneLine(service, 60)}</b>}
      </span>
      <Sum path={path} side={0} />
      <Sum path={path} side={1} />
      <span role="gridcell" class={`delta ${by > 0 ? 'slower' : by < 0 ? 'faster' : ''}`}>
        {verdict}
        <i style={{ width: percent(share) }} />
      </span>
    </div>
  );
}

function Sum({ path, side }: { readonly path: CallPath; readonly side: number }): JSX.Element {
  const { count = 0, totalNs = 0 } = path.sides[side] ?? {};
  return (
    <span role="gridcell" class="right">
      {count > 1 && <small>×{formatCount(count)} </small>}
      {count === 0 ? '–' : formatDuration(totalNs)}
    </span>
  );
}

function difference({ sides: [a, b] }: CallPath): number {
  return (b?.totalNs ?? 0) - (a?.totalNs ?? 0);
}
