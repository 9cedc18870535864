import type { Block, Manual } from './manual.js';

/** A text that means itself: no macro, no escape, hyphens that can be copied. */
function escaped(text: string): string {
    return text
        .replaceAll('\\', '\\e')
        .replaceAll('-', '\\-')
        .replaceAll("'", '\\(aq')
        .replaceAll('`', '\\(ga')
        .replaceAll('^', '\\(ha')
        .replaceAll('~', '\\(ti')
        .replace(/^\./, '\\&.');
}

/** An argument of a macro. */
function quoted(text: string): string {
    return `"${escaped(text).replaceAll('"', '\\(dq')}"`;
}

function blockLines(block: Block): readonly string[] {
    switch (block.kind) {
        case 'text':
            return block.paragraphs.flatMap((text) => ['.PP', escaped(text)]);
        case 'code':
            return [
                '.PP',
                '.RS 4',
                '.nf',
                ...block.lines.map((line) => escaped(line.trimEnd())),
                '.fi',
                '.RE',
            ];
        case 'list':
            return block.items.flatMap(([term, meaning]) => ['.TP', `.B ${quoted(term)}`, escaped(meaning)]);
        case 'subsection':
            return [`.SS ${quoted(block.title)}`];
    }
}

/** A page for `man`, without a date, so that the same tables give the same page. */
export function roffPage({ name, summary, usage, sections }: Manual): string {
    const lines = [
        '.\\" Generated from the tables of the code: "make doc-tables" writes it anew.',
        `.TH ${quoted(name.toUpperCase())} 8 "" "IMGAPI" "System Administration"`,
        // Paths and options in one piece.
        '.nh',
        '.ad l',
        '.SH NAME',
        `${escaped(name)} \\- ${escaped(summary)}`,
        '.SH SYNOPSIS',
        `.B ${quoted(name)}`,
        ...(usage === '' ? [] : [escaped(usage)]),
        ...sections.flatMap(({ title, blocks }) => [
            `.SH ${quoted(title.toUpperCase())}`,
            // A chapter begins with a paragraph anyway.
            ...blocks.flatMap(blockLines).filter((line, at) => line !== '.PP' || at > 0),
        ]),
    ];
    return `${lines.join('\n')}\n`;
}
