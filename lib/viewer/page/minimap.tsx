/** The whole trace as a small strip. Dragging over it zooms, and dragging an edge of the window changes the window. */
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { ERROR } from '../model/span-columns.js';
import { percent, type TimeWindow } from './bar-drawing.js';
import { hueOf } from './service-colours.js';
import { isDark, theme } from './theme.js';
import type { LoadedTrace } from './trace-source.js';

export interface MinimapProps {
  readonly trace: LoadedTrace;
  readonly shown: TimeWindow;
  readonly onZoom: (shown: TimeWindow) => void;
}

/** A shorter drag is a click, which shows the whole trace again. */
const MIN_DRAG_PX = 4;
const EDGE_PX = 6;
const HEIGHT = 52;

export function Minimap({ trace, shown, onZoom }: MinimapProps): JSX.Element {
  const { forest } = trace;
  const canvas = useRef<HTMLCanvasElement>(null);
  const [drag, setDrag] = useState<TimeWindow>();
  const total = Math.max(1, forest.totalNs);
  useEffect(() => {
    const element = canvas.current;
    if (!element) return;
    const observer = new ResizeObserver(() => paint(element, trace));
    // The strip is painted after the waterfall, which the user waits for.
    const timer = setTimeout(() => observer.observe(element), 30);
    const media = matchMedia('(prefers-color-scheme: dark)');
    const repaint = () => paint(element, trace);
    media.addEventListener('change', repaint);
    const stop = theme.watch(repaint);
    return () => {
      clearTimeout(timer);
      observer.disconnect();
      media.removeEventListener('change', repaint);
      stop();
    };
  }, [trace]);
  const start = (event: PointerEvent & { readonly currentTarget: HTMLDivElement }) => {
    if (event.button !== 0) return;
    const strip = event.currentTarget;
    const { left, width } = strip.getBoundingClientRect();
    const at = ({ clientX }: PointerEvent) => Math.max(0, Math.min(1, (clientX - left) / width)) * total;
    const anchor = at(event);
    const near = (EDGE_PX / width) * total;
    // Near an edge of the window, the drag moves this edge. Elsewhere, it draws a new window.
    const fixed = Math.abs(anchor - shown.fromNs) < near ? shown.toNs : Math.abs(anchor - shown.toNs) < near ? shown.fromNs : anchor;
    const between = (moved: PointerEvent) => ({ fromNs: Math.min(fixed, at(moved)), toNs: Math.max(fixed, at(moved)) });
    strip.setPointerCapture(event.pointerId);
    const move = (moved: PointerEvent) => setDrag(between(moved));
    const done = (moved: PointerEvent) => {
      strip.removeEventListener('pointermove', move);
      setDrag(undefined);
      const isClick = fixed === anchor && Math.abs(moved.clientX - event.clientX) < MIN_DRAG_PX;
      onZoom(isClick ? { fromNs: 0, toNs: total } : between(moved));
    };
    strip.addEventListener('pointermove', move);
    strip.addEventListener('pointerup', done, { once: true });
  };
  const { fromNs, toNs } = drag ?? shown;
  const isWhole = fromNs <= 0 && toNs >= total;
  return (
    <div class="minimap" onPointerDown={start} title="Drag to zoom; click to show everything">
      <canvas ref={canvas} height={HEIGHT} />
      {!isWhole && <i class="outside" style={{ left: 0, width: percent(fromNs / total) }} />}
      {!isWhole && <i class="outside" style={{ left: percent(toNs / total), right: 0 }} />}
      {!isWhole && <i class="inside" style={{ left: percent(fromNs / total), width: percent((toNs - fromNs) / total) }} />}
    </div>
  );
}

/** Paints a line for each span, or for a sample if there are too many spans. */
function paint(canvas: HTMLCanvasElement, { forest, path }: LoadedTrace): void {
  const { count, offsetNs, durationNs, service, status, texts, totalNs } = forest;
  const ratio = devicePixelRatio;
  const width = Math.round(canvas.clientWidth * ratio);
  const height = HEIGHT * ratio;
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext('2d');
  if (!context || width === 0) return;
  const dark = isDark();
  const colours = new Map<number, string>();
  const colourOf = (span: number) => {
    const index = service[span] ?? 0;
    let colour = colours.get(index) ?? '';
    if (colour === '') colours.set(index, (colour = `oklch(${dark ? 0.74 : 0.56} 0.14 ${hueOf(texts[index] ?? '')})`));
    return colour;
  };
  const scale = width / Math.max(1, totalNs);
  const rowHeight = Math.max(ratio, Math.min(4 * ratio, height / count));
  const step = Math.max(1, Math.floor(count / (height * 40)));
  const draw = (span: number, from: number, to: number, alpha: number, isError: boolean) => {
    context.globalAlpha = alpha;
    context.fillStyle = isError ? (dark ? '#ff7b84' : '#c3222f') : colourOf(span);
    context.fillRect(
      from * scale,
      Math.min(height - rowHeight, (span / count) * height),
      Math.max(ratio, (to - from) * scale),
      Math.max(ratio, rowHeight - (rowHeight > 2 * ratio ? ratio : 0)),
    );
  };
  const fillAlpha = Math.max(0.12, Math.min(0.45, (height / count) * 0.8));
  for (let span = 0; span < count; span += step)
    draw(span, offsetNs[span] ?? 0, (offsetNs[span] ?? 0) + (durationNs[span] ?? 0), fillAlpha, false);
  for (let span = 0; span < count; span += 1) {
    for (const [from, to] of path[span] ?? []) draw(span, from, to, 1, false);
    if (status[span] === ERROR) draw(span, offsetNs[span] ?? 0, (offsetNs[span] ?? 0) + (durationNs[span] ?? 0), 0.9, true);
  }
}
