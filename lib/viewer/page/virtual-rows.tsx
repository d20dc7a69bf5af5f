/** A list of any length of which only the rows in sight exist. */
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';

export interface VirtualRowsProps {
  readonly count: number;
  readonly rowHeight: number;
  readonly role: 'grid' | 'treegrid';
  readonly label: string;
  readonly columnCount: number;
  /** The row the keyboard is at; -1 for none. It is kept in sight when it changes. */
  readonly active: number;
  /** Made of {@link rowAt}. */
  readonly row: (index: number) => ComponentChildren;
  /** Stays at the top. */
  readonly header?: ComponentChildren;
  readonly class?: string;
}

/** Rows are drawn in steps of some, so that not every frame draws. */
const STEP = 4;
const AROUND = 3;
/** What is mostly above the list: with a good guess the first rows are drawn once. */
const ABOVE_PX = 200;

export function VirtualRows(props: VirtualRowsProps): JSX.Element {
  const { count, rowHeight, role, label, columnCount, active, row, header } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const head = useRef<HTMLDivElement>(null);
  const [first, setFirst] = useState(0);
  const inSight = (height: number) => Math.ceil(height / rowHeight / STEP) * STEP;
  const [room, setRoom] = useState(() => inSight(innerHeight - ABOVE_PX));
  // First what is in sight, then what scrolling will need.
  const [around, setAround] = useState(0);
  useEffect(() => setAround(STEP + AROUND), []);
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
  const from = Math.max(0, Math.min(first, count - 1) - AROUND);
  const to = Math.min(count, first + room + around);
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

/** What the element of a row must have. */
export function rowAt(index: number, rowHeight: number, style: Readonly<Record<string, string>> = {}) {
  return {
    id: `row-${index}`,
    role: 'row',
    // After the header.
    'aria-rowindex': index + 2,
    style: { transform: `translateY(${index * rowHeight}px)`, ...style },
  } as const;
}
