#!/usr/bin/env node
/** `npx nestjs-tracing`: hands the command line to the one command there is. */
import process from 'node:process';
import { viewerCommand } from './viewer/command.js';

void viewerCommand(process.argv.slice(2)).then(exitCode => {
  process.exitCode = exitCode;
});
