import type { Block } from './manual.js';

/** A text that means itself. */
export function plain(text: string): string {
    return text.replace(/[\\`*_<[\]|]/g, '\\$&');
}

function code(text: string): string {
    return `\`${text}\``;
}

function blockText(block: Block): string {
    switch (block.kind) {
        case 'text':
            return block.paragraphs.map(plain).join('\n\n');
        case 'code':
            return ['```text', ...block.lines.map((line) => line.replace(/^ {2}/, '')), '```'].join('\n');
        case 'list':
            return block.items.map(([term, meaning]) => `- ${code(term)}: ${plain(meaning)}`).join('\n');
        case 'subsection':
            return `### ${block.title}`;
    }
}

/** Blocks as Markdown. */
export function markdownOf(blocks: readonly Block[]): string {
    return blocks.map(blockText).join('\n\n');
}
