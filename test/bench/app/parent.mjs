/** Talks to the process that started this one: says once that it is ready, then answers what it is asked. */

/** Says that this process is ready. */
export function tell(message) {
  process.send(message);
}

/** Answers `{ id, ask, ...details }` by the function of that name; ends the process when the parent is gone. */
export function answer(answers) {
  process.on('message', async ({ id, ask, ...details }) => process.send({ id, ...(await answers[ask](details)) }));
  process.on('disconnect', () => process.exit(0));
}
