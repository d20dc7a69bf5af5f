/** The events and links of a span, within its limits. Few spans have any, so a span makes this object when it needs it. */
import { type Attributes, diag, type HrTime, type Link } from '@opentelemetry/api';
import type { SpanLimits, TimedEvent } from '@opentelemetry/sdk-trace-node';
import { limited } from './attribute-values.js';

export class EventsAndLinks {
  events: TimedEvent[] = [];
  links: Link[] = [];
  droppedEvents = 0;
  droppedLinks = 0;

  constructor(private readonly limits: Readonly<Required<SpanLimits>>) {}

  addEvent(name: string, attributes: Attributes | undefined, time: HrTime): void {
    const { events, limits } = this;
    if (limits.eventCountLimit === 0) {
      diag.warn('No events allowed.');
      this.droppedEvents++;
      return;
    }
    if (events.length >= limits.eventCountLimit) {
      if (this.droppedEvents === 0) diag.debug('Dropping extra events.');
      events.shift();
      this.droppedEvents++;
    }
    const kept = limited(attributes, limits.attributePerEventCountLimit, limits.attributeValueLengthLimit);
    events.push({ name, attributes: kept.attributes, time, droppedAttributesCount: kept.droppedAttributesCount });
  }

  addLink({ context, attributes: given }: Link): void {
    const { links, limits } = this;
    if (limits.linkCountLimit === 0) {
      this.droppedLinks++;
      return;
    }
    if (links.length >= limits.linkCountLimit) {
      if (this.droppedLinks === 0) diag.debug('Dropping extra links.');
      links.shift();
      this.droppedLinks++;
    }
    const kept: Link = { context };
    const { attributes, droppedAttributesCount } = limited(given, limits.attributePerLinkCountLimit, limits.attributeValueLengthLimit);
    if (Object.keys(attributes).length > 0) kept.attributes = attributes;
    if (droppedAttributesCount > 0) kept.droppedAttributesCount = droppedAttributesCount;
    links.push(kept);
  }
}
