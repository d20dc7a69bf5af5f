/** What TSX is made of: put in front of every file by the build. */
export { Fragment, h } from 'preact';
