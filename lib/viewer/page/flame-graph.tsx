/** The flame graph of a trace: its time by call path. A click on a path shows only this path. */
import type { JSX } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { type CallPath, callPaths } from '../model/call-paths.js';
import { formatDuration } from '../model/duration.js';
import { percent } from './bar-drawing.js';
import { useKeys } from './keys.js';
import { oneLine, plural } from './plain-text.js';
import { hueStyle } from './service-colours.js';
import type { LoadedTrace } from './trace-source.js';

const ROW_HEIGHT = 24;
/** The part of the width below which a frame is too narrow to see or to click. */
const MIN_WIDTH = 0.0015;
const MAX_FRAMES = 1500;

export function FlameGraph({ trace, onOpen }: { readonly trace: LoadedTrace; readonly onOpen: (span: number) => void }): JSX.Element {
  const paths = useMemo(() => callPaths([trace.forest]), [trace]);
  const totalNs = useMemo(() => paths.reduce((sum, { parent, widthNs }) => (parent === -1 ? sum + widthNs : sum), 0), [paths]);
  const [focus, setFocus] = useState(-1);
  useKeys({ Escape: focus === -1 ? undefined : () => setFocus(-1) });
  const focused = paths[focus];
  const fromNs = focused?.fromNs ?? 0;
  const widthNs = Math.max(1, focused?.widthNs ?? totalNs);
  const shown: { path: CallPath; index: number; left: number; width: number }[] = [];
  for (const [index, path] of paths.entries()) {
    const left = (path.fromNs - fromNs) / widthNs;
    const width = path.widthNs / widthNs;
    if (left >= 1 || left + width <= 0 || width < MIN_WIDTH || shown.length >= MAX_FRAMES) continue;
    shown.push({ path, index, left: Math.max(0, left), width: Math.min(1, left + width) - Math.max(0, left) });
  }
  const depth = shown.reduce((most, { path }) => Math.max(most, path.depth + 1), 1);
  return (
    <div class="flames">
      <p class="note">
        The width is the time in a call path and below it. Spans with the same name are added up.{' '}
        {focused ? <button onClick={() => setFocus(-1)}>Show everything</button> : 'Click a path to see only this path.'}
      </p>
      <div class="graph" style={{ height: `${depth * ROW_HEIGHT}px` }}>
        {shown.map(({ path, index, left, width }) => {
          const [sum] = path.sides;
          if (!sum) return null;
          const { count, selfNs, totalNs: sumNs, errorCount, slowest } = sum;
          const text = `${oneLine(path.name, 120)} · ${oneLine(path.service, 60)} · ${formatDuration(sumNs)} in ${plural(count, 'span')}, ${formatDuration(selfNs)} self${errorCount > 0 ? `, ${plural(errorCount, 'error')}` : ''}`;
          return (
            <button
              key={index}
              class={errorCount > 0 ? 'frame failed' : 'frame'}
              title={text}
              aria-label={width > 0.03 ? undefined : text}
              onClick={() => setFocus(index === focus ? -1 : index)}
              onDblClick={() => onOpen(slowest)}
              style={{ left: percent(left), width: percent(width), top: `${path.depth * ROW_HEIGHT}px`, ...hueStyle(path.service) }}
            >
              {width > 0.03 && oneLine(path.name, 120)}
              {width > 0.12 && <small>{formatDuration(Math.round(path.widthNs))}</small>}
            </button>
          );
        })}
      </div>
    </div>
  );
}
