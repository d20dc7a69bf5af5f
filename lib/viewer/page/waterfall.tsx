/** The waterfall: the tree of spans on the left, durations and bars on the right. */
import type { JSX } from 'preact';
import { formatDuration } from '../model/duration.js';
import { ERROR } from '../model/span-columns.js';
import type { WaterfallRow } from '../model/visible-rows.js';
import { Outcome } from './badges.js';
import { barStyle, percent, tickStyle, type TimeWindow } from './bar-drawing.js';
import { displayName, formatCount, oneLine } from './plain-text.js';
import { hueStyle } from './service-colours.js';
import type { LoadedTrace } from './trace-source.js';
import type { TraceViewState } from './trace-view-state.js';
import { rowAt, VirtualRows } from './virtual-rows.js';

const ROW_HEIGHT = 26;

export interface WaterfallProps {
  readonly trace: LoadedTrace;
  readonly view: TraceViewState;
  /** Index of the active row; -1 if there is none. */
  readonly active: number;
  /** 1 for each span that matches the search. */
  readonly flags: Uint8Array | undefined;
  readonly onOpen: (span: number) => void;
}

export function Waterfall({ trace, view, active, flags, onOpen }: WaterfallProps): JSX.Element {
  const { rows, shown, collapsed } = view;
  return (
    <VirtualRows
      class="waterfall"
      count={rows.length}
      rowHeight={ROW_HEIGHT}
      role="treegrid"
      label="Spans"
      columnCount={3}
      active={active}
      header={<Axis shown={shown} />}
      row={index => {
        const row = rows[index];
        if (!row) return null;
        return (
          <SpanRow
            key={row.isMissing ? `missing${row.span}` : row.span}
            {...{ row, index, trace, shown, view }}
            isActive={index === active}
            isFound={flags !== undefined && flags[row.span] === 1}
            isCollapsed={collapsed.has(row.span)}
            onOpen={onOpen}
          />
        );
      }}
    />
  );
}

const TICKS = [0, 0.2, 0.4, 0.6, 0.8];

function Axis({ shown }: { readonly shown: TimeWindow }): JSX.Element {
  return (
    <div class="span-row titles" role="row" aria-rowindex={1}>
      <span role="columnheader">Span</span>
      <span role="columnheader" class="right">
        Duration
      </span>
      <span role="columnheader" class="axis" aria-label="Time">
        {TICKS.map(tick => (
          <i key={tick} style={{ left: percent(tick) }}>
            {formatDuration(Math.round(shown.fromNs + tick * (shown.toNs - shown.fromNs)))}
          </i>
        ))}
      </span>
    </div>
  );
}

interface SpanRowProps {
  readonly row: WaterfallRow;
  readonly index: number;
  readonly trace: LoadedTrace;
  readonly shown: TimeWindow;
  readonly view: TraceViewState;
  readonly isActive: boolean;
  readonly isFound: boolean;
  readonly isCollapsed: boolean;
  readonly onOpen: (span: number) => void;
}

function SpanRow(props: SpanRowProps): JSX.Element {
  const { row, index, trace, shown, view, isActive, isFound, isCollapsed, onOpen } = props;
  const { forest, path } = trace;
  const { span, depth, members, isMissing = false, isDimmed = false } = row;
  if (isMissing) return <MissingParent index={index} isActive={isActive} />;
  const service = forest.texts[forest.service[span] ?? 0] ?? '';
  const name = displayName(forest.texts[forest.name[span] ?? 0] ?? '');
  const above = forest.parent[span] ?? -1;
  const peer = forest.texts[forest.peer[span] ?? -1];
  const hasChildren = (forest.end[span] ?? 0) > span + 1;
  const isError = forest.status[span] === ERROR;
  const bar = barStyle(forest, path, row, shown);
  const durationNs = members ? members.reduce((sum, member) => sum + (forest.durationNs[member] ?? 0), 0) : (forest.durationNs[span] ?? 0);
  const classes = ['span-row', isActive && 'active', isError && 'failed', isFound && 'found', isDimmed && 'dimmed'];
  return (
    <div
      {...rowAt(index, ROW_HEIGHT, { '--depth': String(depth), ...hueStyle(service) })}
      class={classes.filter(Boolean).join(' ')}
      aria-level={depth + 1}
      aria-expanded={hasChildren ? !isCollapsed : undefined}
      aria-selected={isActive}
      onClick={() => onOpen(span)}
    >
      <span role="gridcell" class={hasChildren ? 'tree' : 'tree leaf'} title={name}>
        {hasChildren && <i class={isCollapsed ? 'twisty shut' : 'twisty'} onClick={withoutRowClick(() => view.toggle(span))} />}
        {(above === -1 || forest.service[above] !== forest.service[span]) && <b>{oneLine(service, 60)}</b>}
        <span class="name">{name}</span>
        {peer !== undefined && !name.includes(peer) && <small>{oneLine(peer, 60)}</small>}
        <Outcome answer={forest.answer[span]} isError={isError} />
        {members && (
          <button class="times" tabIndex={-1} title="Unfold these similar spans" onClick={withoutRowClick(() => view.toggleFold(span))}>
            ×{formatCount(members.length)}
          </button>
        )}
      </span>
      <span role="gridcell" class="right duration">
        {members ? 'Σ ' : ''}
        {formatDuration(durationNs)}
      </span>
      <span role="gridcell" class="time" style={tickStyle(forest, row, shown)}>
        {bar && <i class="bar" style={bar} />}
      </span>
    </div>
  );
}

/** Keeps the click from reaching the row, which would open the details. */
function withoutRowClick(action: () => void): (event: Event) => void {
  return event => {
    event.stopPropagation();
    action();
  };
}

function MissingParent({ index, isActive }: { readonly index: number; readonly isActive: boolean }): JSX.Element {
  return (
    <div
      {...rowAt(index, ROW_HEIGHT, { '--depth': '0' })}
      class={isActive ? 'span-row absent active' : 'span-row absent'}
      aria-level={1}
      aria-expanded={true}
      aria-selected={isActive}
    >
      <span role="gridcell" class="tree leaf">
        <span class="name">not received yet</span>
      </span>
      <span role="gridcell" />
      <span role="gridcell" />
    </div>
  );
}
