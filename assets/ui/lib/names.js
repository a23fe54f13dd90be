// Names come from files, and files are named by anybody. They reach the page as text nodes
// only, set apart from the text around them (<bdi>), and with everything visible that could
// make one name look like another.
import { html } from './ui.js';

// Controls, line ends and the marks that turn the direction of text (Unicode 15, "Cc" and
// "Bidi_Control"), and what takes no room at all. The joiners U+200C and U+200D stay: Persian
// and emoji need them.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g;

function picture(char) {
  const code = char.codePointAt(0);
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return '\u2421';
  return `\u2039U+${code.toString(16).toUpperCase().padStart(4, '0')}\u203a`;
}

export const visible = (text) => String(text).replace(UNSEEN, picture);

export function splitPath(path) {
  const shown = visible(path);
  const cut = shown.lastIndexOf('/') + 1;
  return [shown.slice(0, cut), shown.slice(cut)];
}

/** A file's name with its folder before or below it. */
export function FileName({ path, stacked }) {
  const [folder, base] = splitPath(path);
  return html`<span class=${stacked ? 'file file-stacked' : 'file'} title=${folder + base}>
    <bdi class="file-base">${base}</bdi>
    ${folder && html`<bdi class="file-folder">${folder}</bdi>`}
  </span>`;
}

/** Any other text that is not ours: messages, worker names, encoder names. */
export const Foreign = ({ text, class: name }) => html`<bdi class=${name}>${visible(text)}</bdi>`;

/** Why a job stands where it does, for a line that names its file already. */
export function Because({ job }) {
  const { message } = job.reason;
  const named = `${job.path}: `;
  const at = message.indexOf(named);
  return html`<${Foreign} text=${at < 0 ? message : message.slice(at + named.length)} />`;
}
