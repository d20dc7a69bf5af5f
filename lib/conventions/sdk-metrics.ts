/** The metrics by which an SDK says how many spans it makes. */

export const STARTED_SPANS = { name: 'otel.sdk.span.started', unit: '{span}', description: 'The number of created spans.' } as const;
export const LIVE_SPANS = { name: 'otel.sdk.span.live', unit: '{span}', description: 'The number of currently live spans.' } as const;

/** Where the parent of a span is: nowhere, in this process, or in another one. */
export const PARENT_ORIGIN = 'otel.span.parent.origin';
/** What the sampler decided. */
export const SAMPLING_RESULT = 'otel.span.sampling_result';
