/** The application as it is, without tracing. */
export const setUp = () => ({});
