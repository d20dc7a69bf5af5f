/** The functions that JSX is compiled to. The build imports them into each file. */
export { Fragment, h } from 'preact';
