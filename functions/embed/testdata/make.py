#!/usr/bin/env python3
"""Record the tokens that Hugging Face's tokenizers makes of texts, in tokens.json beside this script.

    pip install tokenizers==0.23.3
    python models/fetch.py minilm-l6
    python functions/embed/testdata/make.py [TOKENIZER_JSON]

`cases` are texts with the numbers of their tokens, of which only those are kept that the attention mask counts.
`characters` covers the first two planes of Unicode and what differs in the others: for 4096 code points at a time, a
hash over the tokens of texts with each of them (see `characters_hash`). Surrogates are left out, as they are no
characters.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import tokenizers

HERE = Path(__file__).resolve().parent
TOKENIZER = HERE.parents[2] / "models/.cache/tokenizers/minilm-l6/tokenizer.json"

TEXTS = [
    "",
    " ",
    " \t\r\n\u3000\u00a0 ",
    "A man is eating food.",
    "The quick brown fox jumps over the lazy dog.",
    "UPPER lower MiXeD",
    "don't, can't; it's — “quoted” ‘single’ …",
    "state-of-the-art e-mail@example.com https://example.com/a_b?c=d&e=f#g",
    "3.14159 1,000,000 50% $5 €5 £5 ¥5 #1 a+b=c <tag> ^~`|",
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
    "Voix ambiguë d'un cœur qui, au zéphyr, préfère les jattes de kiwis",
    "Falsches Üben von Xylophonmusik quält jeden größeren Zwerg",
    "El pingüino Wenceslao hizo kilómetros bajo exhaustiva lluvia. ¿Qué? ¡Sí!",
    "Příliš žluťoučký kůň úpěl ďábelské ódy",
    "Zażółć gęślą jaźń",
    "Pijamalı hasta yağız şoföre çabucak güvendi. İSTANBUL ısı",
    "Árvíztűrő tükörfúrógép",
    "Ţară şi ţară și țară",
    "Þjóðólfur ætlaði að éta ís",
    "Tiếng Việt có sáu thanh điệu: ngang, huyền, sắc, hỏi, ngã, nặng",
    "Съешь же ещё этих мягких французских булок, да выпей чаю. Йод",
    "Щастя — це їхати у потязі ґанку",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. ΟΔΥΣΣΕΥΣ",
    "Բարեւ աշխարհ և",
    "გამარჯობა მსოფლიო ᲒᲐᲛᲐᲠᲯᲝᲑᲐ",
    "שָׁלוֹם עוֹלָם, מה שלומך?",
    "مرحبًا بالعالم، كيف حالك؟ لُغَةٌ",
    "سلام دنیا می‌خواهم",
    "नमस्ते दुनिया, क्षत्रिय ज़मीन।",
    "হ্যালো বিশ্ব কো ড়",
    "வணக்கம் உலகம் கொ",
    "తెలుగు ಕನ್ನಡ മലയാളം සිංහල",
    "สวัสดีชาวโลก ภาษาไทย",
    "ສະບາຍດີ ភាសាខ្មែរ မြန်မာ",
    "བོད་སྐད་ ᠮᠣᠩᠭᠣᠯ",
    "ሰላም ለዓለም።",
    "今日は世界、東京へ行きます。",
    "ひらがな カタカナ ガギグゲゴ ｶﾞｷﾞ ぱぴぷ",
    "안녕하세요 세계 한글",
    "你好，世界！这是一个测试。",
    "漢字 㐀㐁 𠀀𠀁 𪜀 𫝀 𫠠 𬺰 豈更 丽",
    "mixed中文and英文text",
    "🙂 😀😃 👩‍👩‍👧‍👦 🇩🇪 ✊🏽 ❤️ ☃ ©®™",
    "love❤you no🙂space",
    "∀x∈ℝ: ⌈x⌉ = −⌊−x⌋, α ∧ ¬β = ¬(¬α ∨ β), ∑∫√ ½ ² ₃ Ⅳ ﬁ ﬀ Å Å Ω Ω",
    "𝕳𝖊𝖑𝖑𝖔 𝓦𝓸𝓻𝓵𝓭 Ｆｕｌｌ　Ｗｉｄｔｈ ⓒⓘⓡⓒⓛⓔ",
    "e\u0301 e\u0323\u0301 o\u0308\u0304 \u1e69 s\u0323\u0307 q\u0307\u0323",
    "Z\u0351\u036b\u0343\u036a\u0302a\u0300\u0301\u0302l\u0334g\u0335o\u0336",
    "null\0byte bell\x07 escape\x1b[31m delete\x7f c1\x85\x9f form\x0cfeed vertical\x0btab",
    "zero\u200bwidth\u200cnon\u200djoin\u2060er \ufeffbom soft\u00adhyphen",
    "\u202eright to left\u202c \u2066isolate\u2069",
    "line\u2028separator paragraph\u2029separator\u1680ogham\u2003em\u205fmath",
    "replacement\ufffdcharacter \ufffe\uffff noncharacter \U0010ffff private\ue000use \U000f0000",
    "unassigned \u0378 \u0530 \U0001fbff new \u1c80 \u20c0 \ua7c0 \U00011f00 \U0001fae8",
    "[CLS] at the beginning [SEP] and [MASK] [PAD] [UNK]",
    "[cls] [ CLS ] [CLS [[SEP]] [[[MASK] [unused1] ##ing ## # [",
    "a[SEP]b[SEP]c\u0301[SEP]\u0301d",
    "under_score CamelCase snake_case kebab-case dot.separated",
    "fn main() { println!(\"{}\", 1 << 2); } // comment",
    "¡¿«»‹›„“”‚‘’–—―‖†‡•‥…‰′″※‼⁇⁉、。〈〉《》「」『』【】〔〕〖〗〜",
    "Ǆ ǅ ǆ Ǉ ẞ ß ŉ ǰ ΐ ﬓ İ ı ſ K Å",
    "a" * 100,
    "a" * 101,
    "a" * 99 + "é b",
    "a" * 100 + "\u0301 b",
    "word " * 126,
    "word " * 127,
    "word " * 1000,
    "unbelievable" * 8 + " tail",
    ("embeddings " * 31) + "embeddings in the end",
    "中" * 200,
    "." * 300,
    "🙂 " * 130,
    "[MASK]" * 130,
    " " * 5000 + "far" + " " * 5000 + "away",
    "\u0301" * 300,
    "x" + "\u0301" * 300 + "y",
]

# Where random texts take their characters from: (first, last), most of them with rules of their own.
RANGES = [
    (0x20, 0x7E), (0x20, 0x7E), (0x61, 0x7A), (0x61, 0x7A), (0x61, 0x7A), (0x00, 0xFF), (0xC0, 0x24F), (0x300, 0x36F),
    (0x370, 0x52F), (0x590, 0x6FF), (0x900, 0xDFF), (0xE00, 0xFFF), (0x1100, 0x11FF), (0x1E00, 0x1FFF),
    (0x2000, 0x206F), (0x2100, 0x24FF), (0x3000, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFFFD),
    (0x1D000, 0x1F9FF), (0x20000, 0x2FA1D),
]


def random_text(source: random.Random) -> str:
    parts = []
    for _ in range(source.randrange(1, 24)):
        first, last = source.choice(RANGES)
        parts.append("".join(chr(source.randint(first, last)) for _ in range(source.randrange(1, 5))))
        parts.append(source.choice(["", "", " ", "[SEP]"] if source.random() < 0.1 else ["", " "]))
    return "".join(parts)


def fnv1a(numbers: list[int], state: int) -> int:
    """FNV-1a, 64 bits, over numbers of 16 bits, little-endian."""
    for number in numbers:
        for byte in number.to_bytes(2, "little"):
            state = (state ^ byte) * 0x100000001B3 % (1 << 64)
    return state


def main() -> None:
    tokenizer = tokenizers.Tokenizer.from_file(sys.argv[1] if len(sys.argv) > 1 else str(TOKENIZER))

    def tokens(text: str) -> list[int]:
        encoding = tokenizer.encode(text)
        assert len(encoding.ids) == 128
        return encoding.ids[: sum(encoding.attention_mask)]

    def characters_hash(first: int) -> str:
        state = 0xCBF29CE484222325
        characters = [chr(code) for code in range(first, first + 4096) if not 0xD800 <= code <= 0xDFFF]
        for start in range(0, len(characters), 16):
            text = " ".join(f"a{c}b {c}{c}1" for c in characters[start : start + 16])
            ids = tokens(text)
            assert len(ids) < 128, text
            state = fnv1a(ids, state)
        return f"{state:016x}"

    source = random.Random(20_240_229)
    texts = TEXTS + [random_text(source) for _ in range(120)]
    cases = []
    for text in texts:
        ids = tokens(text)
        # `overflowing` holds what was cut off.
        cases.append({"text": text, "tokens": ids, "truncated": bool(tokenizer.encode(text).overflowing)})
    firsts = [*range(0, 0x20000, 4096), 0x20000, 0x2A000, 0x2B000, 0x2C000, 0x2F000, 0x30000, 0xE0000]
    blocks = [{"first": first, "hash": characters_hash(first)} for first in firsts]

    def lines(items: list[dict]) -> str:
        return ",\n".join(json.dumps(item, separators=(",", ":")) for item in items)

    (HERE / "tokens.json").write_text(
        f'{{"tokenizers":"{tokenizers.__version__}",\n'
        f'"cases":[\n{lines(cases)}\n],\n"characters":[\n{lines(blocks)}\n]}}\n'
    )
    print(f"{len(cases)} cases, {len(blocks)} blocks of characters")


if __name__ == "__main__":
    main()
