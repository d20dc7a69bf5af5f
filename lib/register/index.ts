/**
 * Prepares the process for the option `instrumentations`, before the application is loaded:
 * `node --import nestjs-tracing/register dist/main.js`.
 */
import { prepareInstrumentations } from './prepare-instrumentations.js';

prepareInstrumentations();
