/** The service map: the calls between services in all stored traces. A caller is to the left of the services that it calls. */
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { formatDuration } from '../model/duration.js';
import type { WireServiceMap } from '../model/wire.js';
import { getJson } from './trace-source.js';
import { live } from './live.js';
import { useKeys } from './keys.js';
import { goToList, hrefOf } from './address.js';
import { formatCount, oneLine, plural } from './plain-text.js';
import { hueStyle } from './service-colours.js';
import { useTitle } from './store.js';

const BOX = { width: 190, height: 54 };
const GAP = { x: 180, y: 30 };
const MARGIN = 24;
/** How long after a change of the list of traces the map is loaded again. Further changes in this time wait for the same load. */
const REFRESH_MS = 1000;

export function ServiceMapPage(): JSX.Element {
  const map = useServiceMap();
  useTitle('Services · nestjs-tracing');
  useKeys({ Escape: goToList });
  if (!map) return <main class="empty" aria-busy="true" />;
  if (map.services.length === 0) {
    return (
      <main class="empty">
        <h1>No service yet</h1>
        <p>Services appear here with their first trace.</p>
      </main>
    );
  }
  return (
    <main class="map">
      <h1 class="hidden">Services</h1>
      <Graph map={map} />
    </main>
  );
}

function Graph({ map }: { readonly map: WireServiceMap }): JSX.Element {
  const { services, calls } = map;
  const at = layOut(map);
  const positionOf = (name: string) => at.get(name) ?? { x: 0, y: 0 };
  const width = Math.max(...[...at.values()].map(({ x }) => x)) + BOX.width + MARGIN;
  const height = Math.max(...[...at.values()].map(({ y }) => y)) + BOX.height + MARGIN + 30;
  return (
    <div class="scroller" tabIndex={0} role="region" aria-label="Map of services">
      <svg width={width} height={height} viewBox={`0 0 ${width} ${height}`}>
        <defs>
          <marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
            <path d="M0 0 8 4 0 8z" />
          </marker>
        </defs>
        {calls.map(({ from, to, count, errorCount, p50Ns, p95Ns }) => {
          const curve = curveBetween(positionOf(from), positionOf(to));
          const text = `${formatCount(count)} × ${formatDuration(Math.round(p50Ns))}`;
          return (
            <g key={`${from}\n${to}`} class={errorCount > 0 ? 'call failed' : 'call'}>
              <title>{`${oneLine(from)} → ${oneLine(to)}: ${plural(count, 'call')}, ${plural(errorCount, 'error')}, p50 ${formatDuration(p50Ns)}, p95 ${formatDuration(p95Ns)}`}</title>
              <path d={curve.path} marker-end="url(#tip)" />
              <text x={curve.x} y={curve.y - 6}>
                {text}
              </text>
              {errorCount > 0 && (
                <text class="errors" x={curve.x} y={curve.y + 13}>
                  ✕ {plural(errorCount, 'error')}
                </text>
              )}
            </g>
          );
        })}
        {services.map(({ name, spanCount, errorCount, traceCount }) => (
          <a key={name} href={hrefOf({ traceId: '', query: { q: `service:"${name.replaceAll('"', '')}"` } })} style={hueStyle(name)}>
            <g transform={`translate(${positionOf(name).x} ${positionOf(name).y})`}>
              <title>{oneLine(name)}</title>
              <rect width={BOX.width} height={BOX.height} rx="8" />
              <rect class="stripe" width="5" height={BOX.height} rx="2" />
              <text x="18" y="23" class="title">
                {oneLine(name, 24)}
              </text>
              <text x="18" y="41">
                {plural(traceCount, 'trace')}, {plural(spanCount, 'span')}
                {errorCount > 0 && <tspan class="errors">{`, ✕ ${formatCount(errorCount)}`}</tspan>}
              </text>
            </g>
          </a>
        ))}
      </svg>
    </div>
  );
}

interface Position {
  readonly x: number;
  readonly y: number;
}

/** Returns the curve of a call. To the right, it goes from side to side; to the left or to the caller itself, it goes below the boxes. */
function curveBetween(from: Position, to: Position): Position & { readonly path: string } {
  const half = BOX.height / 2;
  if (to.x > from.x) {
    const [x1, y1, x2, y2] = [from.x + BOX.width, from.y + half, to.x - 3, to.y + half];
    const bend = x2 - GAP.x * 0.6;
    const middle = (x1 + bend) / 2;
    // The text is above the straight end, where the lines of one caller are apart.
    return { path: `M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${bend} ${y2}H${x2}`, x: (bend + x2) / 2 - 6, y: y2 };
  }
  const [x1, x2, y] = [from.x + BOX.width / 2, to.x + BOX.width / 2 - 12, Math.max(from.y, to.y) + BOX.height];
  return {
    path: `M${x1} ${from.y + BOX.height}C${x1} ${y + 44} ${x2} ${y + 44} ${x2} ${to.y + BOX.height + 3}`,
    x: (x1 + x2) / 2,
    y: y + 32,
  };
}

/** Puts each service into the column to the right of its callers. Calls that close a cycle are ignored. */
function layOut({ services, calls }: WireServiceMap): Map<string, Position> {
  const column = new Map<string, number>(services.map(({ name }) => [name, 0]));
  for (let round = 0; round < services.length; round += 1) {
    let isSettled = true;
    for (const { from, to } of calls) {
      const least = (column.get(from) ?? 0) + 1;
      if (least > (column.get(to) ?? 0) && least < services.length && !leadsTo(calls, to, from)) {
        column.set(to, least);
        isSettled = false;
      }
    }
    if (isSettled) break;
  }
  const columns = Map.groupBy(services, ({ name }) => column.get(name) ?? 0);
  const tallest = Math.max(...[...columns.values()].map(({ length }) => length));
  return new Map(
    [...columns].flatMap(([x, members]) =>
      members.map(({ name }, y): [string, Position] => {
        const top = y + (tallest - members.length) / 2;
        return [name, { x: MARGIN + x * (BOX.width + GAP.x), y: MARGIN + top * (BOX.height + GAP.y) }];
      }),
    ),
  );
}

function leadsTo(calls: WireServiceMap['calls'], from: string, to: string): boolean {
  const seen = new Set([from]);
  for (const service of seen) for (const call of calls) if (call.from === service) seen.add(call.to);
  return seen.has(to);
}

function useServiceMap(): WireServiceMap | undefined {
  const [map, setMap] = useState<WireServiceMap>();
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const load = (): void => {
      timer = undefined;
      getJson<WireServiceMap>('services').then(setMap, () => undefined);
    };
    load();
    const stop = live.watch(() => (timer ??= setTimeout(load, REFRESH_MS)));
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, []);
  return map;
}
