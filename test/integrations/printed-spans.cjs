/** Prints results of programs with an official instrumentation as JSON in the last line. */

/** Returns the span names from the root of the trace to this span. */
function lineOf(recorder, span) {
  const parent = recorder.parentOf(span);
  return parent === undefined ? span.name : `${lineOf(recorder, parent)} > ${span.name}`;
}

/** Prints the result of `main` and ends the process. */
function print(main) {
  main().then(
    result => {
      process.stdout.write(`${JSON.stringify(result)}\n`);
      process.exit(0);
    },
    error => {
      console.error(error);
      process.exit(1);
    },
  );
}

module.exports = { lineOf, print };
