/** A list that renders only the visible rows, so that it can have any length. */
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';

export interface VirtualRowsProps {
  readonly count: number;
  readonly rowHeight: number;
  readonly role: 'grid' | 'treegrid';
  readonly label: string;
  readonly columnCount: number;
  /** Index of the row that the keyboard selected; -1 if there is none. The list scrolls to it. */
  readonly active: number;
  /** Renders a row. Its element needs the attributes of {@link rowAt}. */
  readonly row: (index: number) => ComponentChildren;
  /** Stays at the top when the list scrolls. */
  readonly header?: ComponentChildren;
  readonly class?: string;
}

/** The first row changes in steps of this size, so that scrolling does not render in each frame. */
const STEP = 4;
/** Rows outside the visible part that are rendered, too. */
const OVERSCAN = 3;
/** The usual height above the list. A good guess means that the first rows are rendered only once. */
const ABOVE_PX = 200;

export function VirtualRows(props: VirtualRowsProps): JSX.Element {
  const { count, rowHeight, role, label, columnCount, active, row, header } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const head = useRef<HTMLDivElement>(null);
  const [first, setFirst] = useState(0);
  const inSight = (height: number) => Math.ceil(height / rowHeight / STEP) * STEP;
  const [room, setRoom] = useState(() => inSight(innerHeight - ABOVE_PX));
  // The visible rows are rendered first, and then those around them.
  const [overscan, setOverscan] = useState(0);
  useEffect(() => setOverscan(STEP + OVERSCAN), []);
  const measure = () => {
    const { scrollTop = 0 } = scroller.current ?? {};
    setFirst(Math.floor(scrollTop / rowHeight / STEP) * STEP);
  };
  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element) return;
    const observer = new ResizeObserver(() => setRoom(inSight(element.clientHeight)));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element || active < 0) return;
    const below = element.clientHeight - (head.current?.offsetHeight ?? 0) - rowHeight;
    const top = active * rowHeight;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top > element.scrollTop + below) element.scrollTop = top - below;
    measure();
  }, [active]);
  const from = Math.max(0, Math.min(first, count - 1) - OVERSCAN);
  const to = Math.min(count, first + room + overscan);
  const rows: ComponentChildren[] = [];
  for (let index = from; index < to; index += 1) rows.push(row(index));
  return (
    <div
      ref={scroller}
      class={`scroller ${props.class ?? ''}`}
      role={role}
      aria-label={label}
      aria-rowcount={count + (header === undefined ? 0 : 1)}
      aria-colcount={columnCount}
      aria-activedescendant={active >= from && active < to ? `row-${active}` : undefined}
      tabIndex={0}
      onScroll={measure}
    >
      {header !== undefined && (
        <div class="head" role="rowgroup" ref={head}>
          {header}
        </div>
      )}
      <div class="rows" role="rowgroup" style={{ height: `${count * rowHeight}px` }}>
        {rows}
      </div>
    </div>
  );
}

/** Returns the attributes that the element of a row needs. */
export function rowAt(index: number, rowHeight: number, style: Readonly<Record<string, string>> = {}) {
  return {
    id: `row-${index}`,
    role: 'row',
    // The count starts at 1, and the header is the first row.
    'aria-rowindex': index + 2,
    style: { transform: `translateY(${index * rowHeight}px)`, ...style },
  } as const;
}
