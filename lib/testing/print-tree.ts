/** Prints spans as a tree of names that is the same on every run: no times, no ids. */
import { errorTypeOf } from '../conventions/reading.js';
import type { TraceSpan } from '../viewer/model/trace-span.js';
import type { TraceNode, TraceTree } from '../viewer/model/trace-tree.js';

/** What a printed tree tells besides names, kinds and failures. @publicApi */
export interface TreeOptions {
  /** Keys of attributes to print, in this order. @default [] */
  readonly attributes?: readonly string[];
}

/**
 * `traces` as text, one line per span, children indented by two spaces: where several services took part, the service that is not the
 * parent's; the name, the kind unless internal, `ok` or `error` with its `error.type`, attributes.
 * @internal
 */
export function printTrees(traces: readonly TraceTree[], { attributes = [] }: TreeOptions = {}): string {
  const services = new Set(traces.flatMap(trace => [...servicesOf(trace)]));
  // In tests of one service its name would stand in front of every root.
  const usual = services.size === 1 ? [...services][0] : undefined;
  const lines: string[] = [];
  for (const { roots } of traces) {
    const waiting = [...roots].reverse().map(node => ({ node, depth: 0, service: usual }));
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      const { node, depth, service } = next;
      lines.push('  '.repeat(depth) + describe(node, service, attributes));
      for (const child of [...node.children].reverse()) waiting.push({ node: child, depth: depth + 1, service: node.span.service });
    }
  }
  return lines.join('\n');
}

function servicesOf({ roots }: TraceTree): Set<string> {
  const services = new Set<string>();
  const waiting = [...roots];
  for (let node = waiting.pop(); node; node = waiting.pop()) {
    services.add(node.span.service);
    waiting.push(...node.children);
  }
  return services;
}

function describe({ span }: TraceNode, parentService: string | undefined, keys: readonly string[]): string {
  const words = [span.service === parentService ? '' : `${span.service}:`, span.name, span.kind === 'internal' ? '' : `(${span.kind})`];
  words.push(statusOf(span));
  for (const key of keys) {
    const value = span.attributes[key];
    if (value !== undefined) words.push(`${key}=${JSON.stringify(value)}`);
  }
  return words.filter(word => word !== '').join(' ');
}

function statusOf({ status, attributes }: TraceSpan): string {
  const type = errorTypeOf(attributes);
  if (status === 'unset') return '';
  return status === 'error' && type !== undefined ? `error=${type}` : status;
}
