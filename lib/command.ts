#!/usr/bin/env node
/** `npx nestjs-tracing`: runs the viewer's command with the arguments of the command line. */
import process from 'node:process';
import { viewerCommand } from './viewer/command.js';

void viewerCommand(process.argv.slice(2)).then(exitCode => {
  process.exitCode = exitCode;
});
