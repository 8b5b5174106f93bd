"""The checks that look at texts: what they must find, and what they must leave alone."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.data.checks.characters import clean, control_in, scrambled_in, unscramble
from kto_tui.data.checks.languages import language_of
from kto_tui.data.checks.private import PRIVATE
from kto_tui.data.checks.template import token_in, without_tokens
from kto_tui.data.checks.truncated import is_truncated
from kto_tui.data.rows import Message
from kto_tui.data.shapes.form import RawRow
from tests.data.checks.feedback import FILE, chat, row, texts

# Chat templates


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("It is.<|im_end|>", "It is."),
        ("<|im_start|>assistant\nIt is.<|im_end|>\n", "It is.\n"),
        ("<|start_header_id|>user<|end_header_id|>\n\nIs it?<|eot_id|>", "Is it?"),
        ("<s>[INST] Is it? [/INST] It is.</s>", " Is it?  It is."),
        ("<s>It is.</s>", "It is."),
        ("It is.</s>\n", "It is.\n"),
        ("<<SYS>>\nBe brief.\n<</SYS>>", "\nBe brief.\n"),
        ("<start_of_turn>model\nIt is.<end_of_turn>", "It is."),
        ("<|user|>\nIs it?", "\nIs it?"),
        ("It is.<|endoftext|><|endoftext|>", "It is."),
        ("<｜begin▁of▁sentence｜>It is.<｜User｜>", "It is."),
        ("[AVAILABLE_TOOLS][][/AVAILABLE_TOOLS]", "[]"),
        ("<bos>It is.<eos>", "It is."),
        ("It is.<|im_<|im_end|>end|>", "It is."),
    ],
)
def test_template_tokens(text: str, without: str) -> None:
    assert token_in(text) is not None
    assert without_tokens(text) == without


@pytest.mark.parametrize(
    "text",
    [
        "It costs <s>20</s> 10 euros.", "<s>20</s> 10 euros", "now 10 instead of <s>20</s>", "a <| b |> c",
        "Write [INSTALL] here [1].", "if (a<b|c>d)", "f <|> g", "<user> and <assistant>", "items[INSTANCE]",
        "1 < 2 [x]",
        "<b>bold</b>", "",
    ],
)  # fmt: skip
def test_texts_without_template_tokens(text: str) -> None:
    assert token_in(text) is None
    assert without_tokens(text) == text


# Garbled and control characters


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("It â€™s cafÃ©", "It ’s café"),
        ("20 Â°C for Â£3", "20 °C for £3"),
        ("ðŸ˜€ yes", "😀 yes"),
        ("one â\x80\x94 two", "one — two"),
        ("Belle Ã\x89poque", "Belle Époque"),
        ("HÃ”TEL voilÃ\xa0!".replace("Ã”", "Ã‰"), "HÉTEL voilà!"),
        ("ÐŸÑ€Ð¸Ð²ÐµÑ‚", "Привет"),
        ("ä½\xa0å¥½", "你好"),
        ("FranÃƒÂ§oise", "Françoise"),
        ("cÅ“ur, Å¡koda", "cœur, škoda"),
    ],
)
def test_garbled_characters(text: str, meant: str) -> None:
    assert scrambled_in(text) is not None
    assert unscramble(text) == meant
    assert scrambled_in(meant) is None


@pytest.mark.parametrize(
    "text",
    [
        "Façade, naïve, Ångström, São Paulo, MANHÃ, Âge, Ö, ß", "„Spaß“ – «Été» – “café”— “olá”… ‘É’",
        "IRMÃ” e VILÃ…",
        "Привет, мир! 你好。こんにちは 안녕하세요 שלום مرحبا", "20 °C, £3, ½ ± 1 × 2 · ™ © µ", "MENÜ“, BLÅ”, CAFÉ”—",
        "Ünïcödé 😀👍🏽",
        "Người Việt Nam rất thân thiện", "ÐÞð", "plain", "",
    ],
)  # fmt: skip
def test_sound_characters(text: str) -> None:
    assert scrambled_in(text) is None
    assert unscramble(text) == text
    assert control_in(text) is None
    assert clean(text) == text


def test_lost_characters_are_found_and_stay() -> None:
    assert scrambled_in("caf�") == "�"
    assert unscramble("caf�") == "caf�"


@pytest.mark.parametrize(
    ("text", "code", "cleaned"),
    [
        ("a\x00b", "U+0000", "ab"),
        ("a\x0cb", "U+000C", "a\nb"),
        ("\x1b[31mred\x1b[0m", "U+001B", "red"),
        ("\ufeffa", "U+FEFF", "a"),
        ("a\u202eb", "U+202E", "ab"),
        ("a\x7f\x9fb", "U+007F", "ab"),
        ("Ã©t\x08", "U+0008", "Ã©t"),
        ("a\x1b\x00[31mb", "U+001B", "a[31mb"),
    ],
)
def test_control_characters(text: str, code: str, cleaned: str) -> None:
    assert control_in(text) == code
    assert clean(text) == cleaned
    assert control_in(cleaned) is None


@pytest.mark.parametrize("text", ["a\tb\r\nc\n", "\xa0\u3000\u200b", "👨‍👩‍👧 می‌خواهم", "Ã\x89poque", "a\u2028b\xad"])
def test_characters_that_lay_text_out_or_join_it_are_none(text: str) -> None:
    assert control_in(text) is None
    assert clean(text) == text


@given(st.text())
def test_any_text_read_with_the_wrong_encoding_can_be_read_again(text: str) -> None:
    assert scrambled_in(unscramble(text)) in {None, "�"}
    assert control_in(clean(text)) is None
    assert token_in(without_tokens(text)) is None


@given(st.text(alphabet="abcé–’€ 你好Ж😀", min_size=1))
def test_what_latin_1_makes_of_utf_8_comes_back(text: str) -> None:
    garbled = text.encode().decode("latin-1")
    if scrambled_in(garbled):
        assert len(unscramble(garbled)) < len(garbled)


# Private strings

KINDS = {kind.id.removeprefix("privacy_"): kind for kind in PRIVATE}
PEM = "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEpAIBAAKCAQEA7x\n" * 4 + "-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("kind", "text", "value", "shown"),
    [
        ("email", "Write to jane.doe+news@mail.acme.co.uk.", "jane.doe+news@mail.acme.co.uk", "j***@***.uk"),
        ("email", "<a href='mailto:j@acme.de'>", "j@acme.de", "j***@***.de"),
        ("phone", "Call +49 (30) 901820-17 now", "+49 (30) 901820-17", "*** 17"),
        ("phone", "+14155552671", "+14155552671", "*** 71"),
        ("phone", "(212) 555-0187 or mail", "(212) 555-0187", "*** 87"),
        ("email", "me@example.com", "me@example.com", "m***@***.com"),
        ("phone", "123-456-7890", "123-456-7890", "*** 90"),
        ("phone", "1-800-555-0199", "1-800-555-0199", "*** 99"),
        ("phone", "Tel.: 030 / 90 18 20 17", "030 / 90 18 20 17", "*** 17"),
        ("phone", "手机：13812345678", "13812345678", "*** 78"),
        ("key", "export K=sk-proj-Ab3dEf6hIj9kLmN0pQr5", "sk-proj-Ab3dEf6hIj9kLmN0pQr5", "sk-***"),
        ("key", "AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE", "AKI***"),
        ("key", "token ghp_" + "a1B2c3D4e5F6" * 3, "ghp_" + "a1B2c3D4e5F6" * 3, "ghp***"),
        ("key", 'password = "hunter2-correct-horse"', "hunter2-correct-horse", "hun***"),
        ("key", '{"api_key": "9f8e7d6c5b4a39281706"}', "9f8e7d6c5b4a39281706", "9f8***"),
        ("key", PEM, PEM, "---***"),
        ("card", "Pay with 4111 1111 1111 1111.", "4111 1111 1111 1111", "*** 1111"),
        ("card", "5555-5555-5555-4444", "5555-5555-5555-4444", "*** 4444"),
        ("card", "3782 822463 10005", "3782 822463 10005", "*** 0005"),
        ("card", "card 4012888888881881,", "4012888888881881", "*** 1881"),
    ],
)
def test_private_strings(kind: str, text: str, value: str, shown: str) -> None:
    found = KINDS[kind]
    assert found.example(text) == shown
    assert found.masked(text) == text.replace(value, found.mask)
    assert found.example(found.masked(text)) is None


@pytest.mark.parametrize(
    "text",
    [
        # what only looks like an address
        "icon@2x.png", "git@github.com:a/b.git", "react@18.2.0",
        "x@w.mean()",
        "@app.route", "see @jane.doe", "a@b",
        # numbers that are none to be called
        "2024-05-06 12:30:45", "phone 2024-05-06 and 2023-01-02", "127.0.0.1", "3.14159265358979",
        "1234567890123456",
        "= 472547338\n+960397912423686\n", "+12345678 = x", "5 +12345678", "ISBN 978-3-16-148410-0",
        "100 000 000 000",
        "+10000000", "call 911", "1 2 3 4 5 6 7 8 9 10", "555-1234",
        # numbers that are no cards
        "4111 1111 1111 1112", "4111111111111111 + 1", "= 4111111111111111", "0000 0000 0000 0000",
        "1717171717171717",
        # no keys
        'api_key = "YOUR_API_KEY_GOES_HERE"', "sk-xxxxxxxxxxxxxxxxxxxxxxxx", 'password: "changeme"', "secret: patience",
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----", "task-1234567890123456789012345", "",
        "plain text",
    ],
)  # fmt: skip
def test_strings_that_are_not_private(text: str) -> None:
    assert {kind.id: kind.example(text) for kind in PRIVATE if kind.example(text)} == {}
    assert all(kind.masked(text) == text for kind in PRIVATE)


@given(
    st.text(alphabet="ab .,:;@+-()1é\n", max_size=20),
    st.sampled_from(
        ["jane@acme.org", "+49 30 901820", "(212) 555-0187", "4111 1111 1111 1111", "AKIAIOSFODNN7EXAMPLE"]
    ),
    st.text(alphabet="ab .,:;@+-()1é\n", max_size=20),
)
def test_masks_leave_nothing_to_mask(before: str, value: str, after: str) -> None:
    text = before + value + after
    for kind in PRIVATE:
        found = kind.example(text)
        masked = kind.masked(text)
        assert kind.example(masked) is None
        assert (masked == text) is (found is None)
        spans = list(kind.spans(text))
        assert all(text[begin:end] not in masked or len(spans) == 0 for begin, end in spans)
        assert found is None or value not in found


# Answers that break off

PROSE = (
    "The pump has three parts that matter here. The first is the motor, which drives the shaft. The second is the seal,"
    " which keeps the water in. You should look at both of them once a year, and replace what is worn."
)


@pytest.mark.parametrize(
    "end",
    [
        " The third part is the", " After that the whole thing has to be put together again with new scr",
        " The third part, which is the most expensive one of them all,",
        " Then turn it (slowly at first and by ha",
        "\n\nDo this:\n1. Switch it off.\n2. Open the lid of the housing.\n3.",
        "\n\n```python\ndef pump():\n    retu",
        "\n\n```\npump --on",
        "\n\n- Take the lid off the housing.\n- Look at the seal from both sides.\n- Clean",
        "\n\n1. Switch the whole thing off.\n\n2. The lid comes off first. Then you have to look at the sea",
    ],
)  # fmt: skip
def test_answers_that_break_off(end: str) -> None:
    assert is_truncated(PROSE + end)


@pytest.mark.parametrize(
    "end",
    [
        "", " It works!", " Does it?", ' He said "yes."', " (See the manual.)", " *Good luck.*", " 😀",
        " Best wishes,\nJane",
        "\n\nBest regards\nJane Doe", "\n\n- the motor\n- the seal\n- the lid of the housing",
        "\n\n1. motor\n2. seal",
        "\n\n```python\npump()\n```", "\n\n```python\npump()\n```\nThat is all there is to it.",
        "\n\n| a | b |\n| 1 | 2 |",
        "\n\nAnswer: 42", "\n\nConfidence: 95%", "\n\nhttps://pumps.org/manual", "\n\n    pump --on --slowly",
        " #pumps #seals",
        "\n\nThus the answer is: True", " *giggle*", "\n\nTitle: The Pump", " Sad :(", " Fun (;", " Sad ;-(",
        "\n\nx in (0, 1]", "。",
        " ...", "…",
        "\n\n```\na stray fence", "\n\n$x = 3$",
    ],
)  # fmt: skip
def test_answers_that_end(end: str) -> None:
    if end.endswith("stray fence"):
        end += " that was never closed, but the sentence ends."
    assert not is_truncated(PROSE + end)


@pytest.mark.parametrize(
    "text",
    [
        "", "Paris", "42", "the", "The capital of France is Paris", "It is a matter of taste",
        "def f(x): return x",
        "roses are red\nviolets are blue\n" * 10, "yes and no and", "- a\n- b\n- c", "SELECT a FROM b", "[1, 2",
        "no dots here just a casual answer that goes on and on without any end of a sentence " * 4,
        "สวัสดีครับ. ผมชื่อสมชาย. ยินดีที่ได้รู้จัก " * 8,
    ],
)  # fmt: skip
def test_short_and_unmarked_answers_end_as_they_like(text: str) -> None:
    assert not is_truncated(text)


@pytest.mark.parametrize("text", ["The capital of France lies on the", "It has two parts, one of motors and"])
def test_short_answers_do_not_end_with_an_article(text: str) -> None:
    assert is_truncated(text)


CHINESE = (
    "水泵有三个重要的部分。第一个是电机，它驱动轴。第二个是密封件，它防止漏水。每年都应该检查一次，并更换磨损的零件。"
    * 2
)


def test_wide_scripts_end_with_their_own_marks() -> None:
    assert not is_truncated(CHINESE)
    assert not is_truncated(CHINESE + "你明白了吗？")
    assert not is_truncated(CHINESE + "「好的。」")
    assert is_truncated(CHINESE + "第三个部分是最贵的，它")
    assert is_truncated(CHINESE + "第三个部分是最贵的，")
    assert not is_truncated("第三个部分是最贵的")


# Languages

SENTENCES = {
    "English": "The pump has three parts that matter here, and you should look at all of them once a year.",
    "German": "Die Pumpe hat drei Teile, die hier wichtig sind, und man sollte sie alle einmal im Jahr ansehen.",
    "French": "La pompe a trois parties qui sont importantes ici, et il faut les regarder toutes une fois par an.",
    "Spanish": "La bomba tiene tres partes que son importantes aquí, y hay que mirarlas todas una vez por año.",
    "Portuguese": "A bomba tem três partes que são importantes aqui, e você deve olhar para todas uma vez por ano.",
    "Italian": "La pompa ha tre parti che sono importanti qui, e si deve guardare tutte una volta all'anno con cura.",
    "Dutch": "De pomp heeft drie delen die hier van belang zijn, en je moet ze allemaal een keer per jaar bekijken.",
    "Swedish": "Pumpen har tre delar som är viktiga här, och du måste titta på dem alla en gång om året när det går.",
    "Danish or Norwegian": "Pumpen har tre deler som er viktige her, og du skal se på dem alle en gang om året.",
    "Polish": "Pompa ma trzy części, które są tutaj ważne, i trzeba na nie patrzeć, ale nie za często, jak się da.",
    "Turkish": "Pompanın burada önemli olan üç parçası var ve bunlar için her yıl bir kez daha kontrol gerekir.",
    "Vietnamese": "Máy bơm có ba bộ phận quan trọng và bạn phải kiểm tra tất cả các bộ phận này một năm một lần.",
    "Russian or another in Cyrillic": "У насоса есть три важные части, и их следует проверять раз в год.",
    "Ukrainian": "У насоса є три важливі частини, і їх слід перевіряти щороку, якщо це можливо.",
    "Chinese": "水泵有三个重要的部分，每年都应该检查一次。",
    "Japanese": "ポンプには三つの重要な部品があり、毎年一度は点検する必要があります。",
    "Korean": "펌프에는 중요한 부품이 세 개 있으며 매년 한 번 점검해야 합니다.",
    "Arabic, Persian or Urdu": "تحتوي المضخة على ثلاثة أجزاء مهمة ويجب فحصها مرة واحدة في السنة.",
    "Greek": "Η αντλία έχει τρία σημαντικά μέρη και πρέπει να τα ελέγχετε μία φορά τον χρόνο.",
    "Thai": "ปั๊มมีสามส่วนที่สำคัญและควรตรวจสอบปีละครั้ง",
}


@pytest.mark.parametrize(("language", "text"), SENTENCES.items(), ids=SENTENCES)
def test_languages(language: str, text: str) -> None:
    assert language_of(text) == language
    assert language_of(f"{text}\n```python\nfor the_pump in and_of(that): is_it = with_(this)\n```") == language


@pytest.mark.parametrize(
    "text",
    [
        "", "Yes.", "42 + 17 = 59", "Oui, non, si, no.",
        "Paris, London, Berlin, Rom, Madrid, Lissabon, Wien, Prag, Bern, Oslo",
        "Lorem ipsum dolor sit amet consectetur adipiscing elit sed eiusmod tempor incididunt labore dolore",
        "```\nthe pump is on and it is good that you have it with this one for the other\n```",
        "Ooh ooh ah ah! Ooh ooh ah ah! Ooh ooh ah ah! Ooh ooh ah ah!",
        "- Red, as in a tomato\n- Blue, as in a sky", "x = и",
    ],
)  # fmt: skip
def test_unclear_languages_are_not_named(text: str) -> None:
    assert language_of(text) is None


def test_mixed_languages() -> None:
    rows = [chat(SENTENCES["English"], f"Why {i}?") for i in range(5)]
    assert "mixed_languages" not in texts(rows)
    rows[1:3] = [chat(SENTENCES[language], "Why?") for language in ("German", "French")]
    found = texts(rows)["mixed_languages"]
    assert found.title == "2 completions are not in English: 1 German, 1 French"
    assert (found.severity, found.rows, found.places) == ("hint", (2, 3), (f"{FILE}:2", f"{FILE}:3"))
    rows += [chat(SENTENCES[language], "Why?") for language in ("Dutch", "Italian", "Greek")]
    assert texts(rows)["mixed_languages"].title.endswith("1 German, 1 French, 1 Dutch, others")


# All of them together

FAULTS = {
    "template_tokens": "It is.<|im_end|>",
    "mojibake": "It â€™s.",
    "control_characters": "It is.\x00",
    "privacy_email": "Ask jane@acme.org.",
    "privacy_phone": "Call (212) 555-0187.",
    "privacy_key": "Use AKIAIOSFODNN7EXAMPLE.",
    "privacy_card": "Pay with 4111 1111 1111 1111.",
}
SEVERITIES = {"privacy_email": "hint", "privacy_phone": "hint", "privacy_key": "hint", "privacy_card": "hint"}


@pytest.mark.parametrize(("name", "text"), FAULTS.items(), ids=FAULTS)
@pytest.mark.parametrize("where", ["prompt", "completion", "system", "tool call"])
def test_every_text_of_a_row_is_looked_at(name: str, text: str, where: str) -> None:
    call = Message("assistant", "", tool_calls='[{"arguments": {"text": "' + text.replace("\x00", "\\u0000") + '"}}]')
    rows = {
        "prompt": row("Yes.", prompt=text),
        "completion": chat(text, "Why?"),
        "system": chat("Yes.", "Why?", system=text),
        "tool call": RawRow((Message("user", "Why?"),), (call,), True),
    }
    found = texts([row("Sound.", prompt="Is it?"), rows[where], row("Sound too.", prompt="And this?")])
    assert list(found) == [name]
    finding = found[name]
    assert (finding.count, finding.rows, finding.places) == (1, (2,), (f"{FILE}:2",))
    assert finding.severity == SEVERITIES.get(name, "warning")
    assert finding.title.startswith("1 row h")
    assert finding.fix is not None
    assert finding.looked_at is None


def test_a_title_counts_rows_and_shows_one_masked() -> None:
    rows = [chat(f"Ask {name}@acme.org, not {name}@acme.com.", f"Whom, {name}?") for name in ("jane", "john")]
    found = texts(rows, looked_at=2)["privacy_email"]
    assert found.title == "2 rows hold e-mail addresses, such as j***@***.org"
    assert found.looked_at == 2


@given(st.lists(st.sampled_from([*FAULTS.values(), PROSE + " And the", *SENTENCES.values()]), max_size=8), st.randoms())
def test_the_order_of_rows_changes_no_count(parts: list[str], draw: random.Random) -> None:
    rows = [chat(part, f"Question number {i}") for i, part in enumerate(parts)]
    one, other = ({a.id: a.count for a in texts(some).values()} for some in (rows, draw.sample(rows, len(rows))))
    # Of equally many languages the first counts as the usual one.
    one.pop("mixed_languages", 0)
    other.pop("mixed_languages", 0)
    assert one == other
