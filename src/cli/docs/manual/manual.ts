import type { CommandOption } from '../../options.js';
import { paragraphs } from '../../table-command.js';

/** Something a manual says, whatever it is printed as. */
export type Block =
    /** Paragraphs. */
    | { readonly kind: 'text'; readonly paragraphs: readonly string[] }
    /** Lines as they are. */
    | { readonly kind: 'code'; readonly lines: readonly string[] }
    | { readonly kind: 'list'; readonly items: readonly (readonly [term: string, meaning: string])[] }
    | { readonly kind: 'subsection'; readonly title: string };

/** A chapter of a manual. */
export interface ManualSection {
    readonly title: string;
    readonly blocks: readonly Block[];
}

/** A page of the system's manual, of commands for administrators. */
export interface Manual {
    readonly name: string;
    /** In a few words, without a full stop. */
    readonly summary: string;
    /** What follows the name. */
    readonly usage: string;
    readonly sections: readonly ManualSection[];
}

/** Lines of a help text: paragraphs, and what is indented as it is. */
export function describedBy(lines: readonly string[]): readonly Block[] {
    const blocks: Block[] = [];
    for (const line of paragraphs(lines)) {
        const last = blocks.at(-1);
        if (line.startsWith(' ')) {
            const before = last?.kind === 'code' ? last.lines : [];
            blocks.splice(last?.kind === 'code' ? -1 : blocks.length, 1, {
                kind: 'code',
                lines: [...before, line],
            });
        } else if (line !== '') {
            blocks.push({ kind: 'text', paragraphs: [line] });
        }
    }
    return blocks;
}

/** How an option is written, e.g. `-p, --parallel N`. */
function optionForms({ name, short, argument }: CommandOption): string {
    const forms = [...(short === undefined ? [] : [`-${short}`]), `--${name}`].join(', ');
    return argument === undefined ? forms : `${forms} ${argument}`;
}

/** Options and what they mean; nothing when there are none. */
export function optionsBlock(options: readonly CommandOption[]): readonly Block[] {
    return options.length === 0
        ? []
        : [{ kind: 'list', items: options.map((option) => [optionForms(option), option.help.join(' ')]) }];
}

/** A summary as the first line of a page has it. */
export function headline(summary: string): string {
    return `${summary.charAt(0).toLowerCase()}${summary.slice(1)}`.replace(/\.$/, '');
}
