/** Reads spans for the encoders. A light span need not make what it does not have, and its attributes are not copied. */
import type { Attributes, Link, SpanContext, SpanStatus } from '@opentelemetry/api';
import { SpanStatusCode } from '@opentelemetry/api';
import type { InstrumentationScope } from '@opentelemetry/core';
import type { Resource } from '@opentelemetry/resources';
import type { ReadableSpan, TimedEvent } from '@opentelemetry/sdk-trace-node';
import { LightSpan } from '../span/light-span.js';

/** The spans of one resource, by their instrumentation scopes. @internal */
export interface ResourceGroup {
  readonly resource: Resource;
  readonly scopes: ReadonlyMap<InstrumentationScope, readonly ReadableSpan[]>;
}

/** Groups spans by resource and scope, each in the order in which they first come. @internal */
export function groupsOf(spans: readonly ReadableSpan[]): ResourceGroup[] {
  const groups: ResourceGroup[] = [];
  const byResource = new Map<Resource, Map<InstrumentationScope, ReadableSpan[]>>();
  let last: ReadableSpan[] = [];
  let lastScope: InstrumentationScope | undefined;
  let lastResource: Resource | undefined;
  for (const span of spans) {
    const { resource, instrumentationScope: scope } = span;
    if (scope !== lastScope || resource !== lastResource) {
      const scopes = byResource.get(resource) ?? new Map<InstrumentationScope, ReadableSpan[]>();
      if (scopes.size === 0) {
        byResource.set(resource, scopes);
        groups.push({ resource, scopes });
      }
      last = scopes.get(scope) ?? [];
      if (last.length === 0) scopes.set(scope, last);
      [lastScope, lastResource] = [scope, resource];
    }
    last.push(span);
  }
  return groups;
}

/** Returns the attributes of a light span that other spans may have, too, if they are all that it has. They are not copied. @internal */
export function sharedAttributesOf(span: ReadableSpan): Attributes | undefined {
  return span instanceof LightSpan ? span.sharedAttributes : undefined;
}

const NOTHING: readonly never[] = [];

/** @internal */
export function eventsOf(span: ReadableSpan): readonly TimedEvent[] {
  return span instanceof LightSpan ? (span.lists?.events ?? NOTHING) : span.events;
}

/** @internal */
export function linksOf(span: ReadableSpan): readonly Link[] {
  return span instanceof LightSpan ? (span.lists?.links ?? NOTHING) : span.links;
}

const UNSET: SpanStatus = { code: SpanStatusCode.UNSET };

/** @internal */
export function statusOf(span: ReadableSpan): SpanStatus {
  return span instanceof LightSpan ? (span.outcome ?? UNSET) : span.status;
}

const HAS_IS_REMOTE = 0x100;
const IS_REMOTE = 0x200;

/** Returns the flags of a span or link: those of W3C Trace Context, and whether its parent is in another process. @internal */
export function flagsOf(traceFlags: number, remote: Pick<SpanContext, 'isRemote'> | undefined): number {
  return (traceFlags & 0xff) | (remote?.isRemote === true ? HAS_IS_REMOTE | IS_REMOTE : HAS_IS_REMOTE);
}
