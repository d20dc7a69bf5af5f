/** `@CurrentSpan()`: hands a request handler the span that is active when it is called. */
import { createParamDecorator } from '@nestjs/common';
import { trace } from '@opentelemetry/api';
import { NO_SPAN } from './run-in-span.js';

/**
 * The active span as a parameter of a handler: the request's, also where the handler has a `@Span()` of its own. Where the request is
 * not traced it is a span that records nothing, never `undefined`.
 *
 * @example
 * \@Get(':id')
 * one(@CurrentSpan() span: Span, @Param('id') id: string) { span.setAttribute('user.id', id); }
 *
 * @publicApi
 */
export const CurrentSpan: () => ParameterDecorator = createParamDecorator(() => trace.getActiveSpan() ?? NO_SPAN);
