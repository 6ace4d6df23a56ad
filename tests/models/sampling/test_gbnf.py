"""GBNF: what a grammar lets through, and where it is wrong."""

from __future__ import annotations

import pytest

from models.runner.lanes import run_through
from models.runner.settings import Constraint
from models.sampling import trial
from models.sampling.constraint_errors import GrammarError
from models.sampling.gbnf import MAX_TOKENS, to_lark
from models.sampling.grammar import Grammars
from models.sampling.named_tokens import NamedTokens
from tests.fakes.context import BOS, CALL, END, ByteVocabulary
from tests.models.sampling.test_grammar import accepts


@pytest.fixture(scope="module")
def grammars() -> Grammars:
    return Grammars(ByteVocabulary())


@pytest.fixture(autouse=True)
def without_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """These grammars are small, and a process for each of them takes long."""
    monkeypatch.setattr(trial, "ends", lambda lark, budget, n_tokens: True)


TOKENS = NamedTokens(ByteVocabulary())


def lark_of(grammar: str) -> str:
    return to_lark(grammar, TOKENS)


TREE = 'root ::= "(" root* ")" | leaf\nleaf ::= [a-z0-9]+ " "?'
LIST = 'root ::= item+\n\n# a list\nitem ::= "- " [^\\r\\n]+ "\\n" # one line'


@pytest.mark.parametrize(
    ("grammar", "text", "expected"),
    [
        ('root ::= "a"', "a", True),
        ('root ::= "a"', "b", False),
        ('root ::= ""', "", True),
        ('root ::= "a" |', "", True),
        ('root ::= "a" "b" | "c"', "ab", True),
        ('root ::= "a" "b" | "c"', "ac", False),
        ('root ::= ("a" |\n  "b" # or this\n) "c"', "bc", True),
        ('root ::=\n  x\nx ::= y\ny ::= "q"\r\n', "q", True),
        (TREE, "((a b )c)", True),
        (TREE, "((a b )c", False),
        (LIST, '- milk\n- eggs, "big"\n', True),
        (LIST, "- milk", False),
        # classes
        ("root ::= [a-cx_]", "b", True),
        ("root ::= [a-cx_]", "-", False),
        ("root ::= [a-]+", "-a", True),
        ("root ::= [-a]+", "-a", True),
        ("root ::= [a\\-c]+", "-", True),
        ("root ::= [a\\-c]+", "b", False),
        ('root ::= [\\]\\[/\\\\^"&]+', '][/\\^"&', True),
        ("root ::= [^a-c]", "\n", True),
        ("root ::= [^a-c]", "b", False),
        ("root ::= [\\x41-\\x43\\t]+", "B\t", True),
        ("root ::= [à-ü]+", "éâ", True),
        ("root ::= [\\U0001F600-\\U0001F64F]", "😀", True),
        ("root ::= .", "\n", True),
        ("root ::= .", "漢", True),
        # literals
        ('root ::= "\\"\\\\\\n\\t\\r\\x41\\u00e9\\U0001F600"', '"\\\n\t\rAé😀', True),
        ('root ::= "/&{|}" "é"', "/&{|}é", True),
        ('root ::= "\\x07\\x7f"', "\x07\x7f", True),
        # repetitions
        ('root ::= "a"* "b"+ "c"?', "bb", True),
        ('root ::= "ab"{2}', "abab", True),
        ('root ::= "ab"{2}', "ab", False),
        ('root ::= "ab"{ 2 , }', "ababab", True),
        ('root ::= "a"{1,2}', "aaa", False),
        ('root ::= ("a"{2} "b"){2}', "aabaab", True),
        ('root ::= ("a"{2}){2} root?', "aaaa", True),
        ('root ::= "a"{2}{2}', "aaaa", True),
        ('root ::= "a"{0} "b" "c"{0,0}', "b", True),
        ('root ::= "a"{0} "b" "c"{0,0}', "ab", False),
        ('root ::= "a"+ "ab"', "aaab", True),
        # names
        ('root ::= Item item\nItem ::= "A" root?\nitem ::= "b" root?', "Ab", True),
        ('root ::= x-y x_y\nx-y ::= "a"\nx_y ::= "b"', "ab", True),
        ('root ::= start 1st\nstart ::= "a"\n1st ::= "b"', "ab", True),
        ('root ::= "old"\nroot ::= "new"', "new", True),
        ('root ::= "old"\nroot ::= "new"', "old", False),
    ],
)
def test_a_grammar_lets_through_what_it_describes(grammars: Grammars, grammar: str, text: str, expected: bool) -> None:
    assert accepts(grammars, "gbnf", grammar, text) is expected


@pytest.mark.parametrize(
    ("grammar", "said"),
    [
        ("", "line 1, column 1: there is no rule 'root'"),
        ('item ::= "a"\n', "line 2, column 1: there is no rule 'root'"),
        ('root ::= "a" | b', "line 1, column 16: there is no rule 'b'"),
        ('root ::= x\nx ::= "a"\n  | y', "line 3, column 3: the name of a rule is expected, not '|'"),
        ('root ::= (x |\n  y)\nx ::= "a"', "line 2, column 3: there is no rule 'y'"),
        ('root ::= ("a"', "line 1, column 10: this '(' is not closed"),
        ('root ::= "a" )', "line 1, column 14: ')' cannot stand here"),
        ('root ::= ("a" ]', "line 1, column 15: ')' is expected after a group, not ']'"),
        ('root ::= "a"\nx ::= "b', "line 2, column 7: this quote is not closed"),
        ('root ::= "a"\nx ::= [b', "line 2, column 7: this '[' is not closed"),
        ("root ::= []", "line 1, column 10: these brackets are empty"),
        ("root ::= [z-a]", "line 1, column 10: the range z-a ends before it begins"),
        ('root ::= "a\\qb"', "line 1, column 12: unknown escape '\\q'"),
        ('root ::= "\\x4"', "line 1, column 11: unknown escape '\\x'"),
        ("root ::= [\\ud800]", "line 1, column 11: unknown escape '\\u'"),
        ('root = "a"', "line 1, column 6: '::=' is expected after the name of a rule: 'root', not '='"),
        ("root", "line 1, column 5: '::=' is expected after the name of a rule: 'root', not the end"),
        ("root ::= 'a'", 'line 1, column 10: "\'" cannot stand here'),
        ("root ::= *", "line 1, column 10: nothing stands before this '*'"),
        ('root ::= "a"{,3}', "line 1, column 13: a repetition is written as {2}, {2,} or {2,5}"),
        ('root ::= "a"{5,2}', "line 1, column 13: {5,2} ends before it begins"),
        ("root ::= <think>", "line 1, column 10: <think> is no single token of this model"),
        ('root ::= "a"\nx ::= !<a>', "line 2, column 7: <a> is no single token of this model"),
        ("root ::= <call", "line 1, column 10: a token is written as <[number]> or <text>"),
        ("root ::= <[call]>", "line 1, column 10: a token is written as <[number]> or <text>"),
        ("root ::= <[-1]>", "line 1, column 10: a token is written as <[number]> or <text>"),
        ('root ::= !"a"', "line 1, column 10: a token is written as <[number]> or <text>"),
        ("root ::= ! <call>", "line 1, column 10: a token is written as <[number]> or <text>"),
        ("root ::= <[272]>", "line 1, column 10: this model has no token 272"),
        ("root ::= <[99999999999]>", "line 1, column 10: this model has no token 99999999999"),
        ("root ::= <end>", "line 1, column 10: a reply cannot have token 256 in it"),
        ('root ::= "a" !<[260]>', "line 1, column 14: a reply cannot have token 260 in it"),
        ("root ::= " + "(" * 5000 + '"a"' + ")" * 5000, "line 1, column 110: too deep a recursion of groups"),
    ],
)
def test_a_mistake_is_told_with_its_place(grammar: str, said: str) -> None:
    with pytest.raises(GrammarError) as raised:
        lark_of(grammar)
    assert str(raised.value) == said


def test_a_rule_that_nothing_refers_back_to_is_matched_like_an_expression() -> None:
    lark = lark_of('root ::= list\nlist ::= item list | item\nitem ::= "a" tail\ntail ::= [0-9]+')
    assert lark.splitlines()[0] == "start: r_root_0"
    assert [line.partition(":")[0] for line in lark.splitlines()[1:]] == [
        "r_root_0",
        "r_list_1",
        "R_ITEM_2",
        "R_TAIL_3",
    ]


A, B, C = map(ord, "abc")


@pytest.mark.parametrize(
    ("grammar", "said", "allowed", "not_allowed", "may_end"),
    [
        ("root ::= <call>", [], {CALL}, {A, BOS, END}, False),
        ("root ::= <[258]>", [], {CALL}, {A, BOS, END}, False),
        ("root ::= <call>", [CALL], set(), {A, CALL}, True),
        ("root ::= !<call>", [], {A, B, BOS}, {CALL, END, 0, 260}, False),
        ("root ::= !<[97]>", [], {B, CALL, BOS}, {A, END, 0, 260}, False),
        ('root ::= "a" <call> "b"', [A], {CALL}, {B}, False),
        ('root ::= "a" <call> "b"', [A, CALL], {B}, {CALL}, False),
        # a thought: tokens of text, and others, up to the one that closes it
        ("root ::= <bos> thought <call> .*\nthought ::= !<call>*", [BOS], {A, BOS, CALL}, {END}, False),
        ("root ::= <bos> thought <call> .*\nthought ::= !<call>*", [BOS, A, BOS], {A, CALL}, {END}, False),
        ("root ::= <bos> thought <call> .*\nthought ::= !<call>*", [BOS, A, CALL, B], {A}, {CALL}, True),
        ("root ::= <call>? [a-b]+", [], {CALL, A, B}, {C}, False),
        ("root ::= (<call> [a-b]+)+", [CALL, A], {CALL, A, B}, {C}, True),
        ("root ::= <call>{2}", [CALL], {CALL}, {A}, False),
        ("root ::= <call>{2}", [CALL, CALL], set(), {CALL, A}, True),
        ("root ::= <call>{0} <bos>", [], {BOS}, {CALL}, False),
        # one token that may be several things
        ('root ::= !<[97]> "x" | <[98]> "y" | <bos> "z"', [B], {ord("x"), ord("y")}, {ord("z")}, False),
        ('root ::= !<[97]> "x" | <[98]> "y" | <bos> "z"', [BOS], {ord("x"), ord("z")}, {ord("y")}, False),
        ('root ::= !<[97]> "x" | !<bos> "y"', [A], {ord("y")}, {ord("x")}, False),
        ('root ::= !<[97]> "x" | !<bos> "y"', [C], {ord("x"), ord("y")}, set(), False),
        ("root ::= !<[97]>* <[98]> <[99]>", [B, C], {B, C}, {A}, True),
        ("root ::= !<[97]>* <[98]> <[99]>", [B, C, B], {B, C}, {A}, False),
        # where text could be meant, too, it is the token that is named
        ('root ::= <[97]> "x" | "a" "y"', [A], {ord("x")}, {ord("y")}, False),
    ],
)
def test_tokens_are_named_by_number_and_by_text(
    grammars: Grammars, grammar: str, said: list[int], allowed: set[int], not_allowed: set[int], may_end: bool
) -> None:
    matcher = run_through(grammars.matcher(Constraint("gbnf", grammar)))
    for token in said:
        assert matcher.allows(token)
        matcher.accept(token)
    found = set(matcher.allowed().tolist())
    assert allowed <= found and not not_allowed & (found - {END})
    assert all(matcher.allows(token) for token in allowed) and not any(map(matcher.allows, not_allowed - {END}))
    assert matcher.allows(END) == may_end == (END in found)


def test_no_two_rules_for_tokens_have_one_in_common() -> None:
    lark = lark_of('root ::= <[7]> "a" !<call> | !<[7]>')
    assert lark.splitlines()[1:] == [
        'r_root_0: t_7 "a" not_258 | not_7',
        "t_7: <[7]>",
        "t_258: <[258]>",
        "t_rest: <[1-6,8-255,257]>",
        "not_7: t_rest | t_258",
        "not_258: t_rest | t_7",
    ]


def test_what_has_tokens_is_no_part_of_an_expression() -> None:
    lark = lark_of('root ::= x y\nx ::= z "a"\nz ::= <call>\ny ::= "b"')
    assert [line.partition(":")[0] for line in lark.splitlines()] == [
        *("start", "r_root_0", "r_x_1", "r_z_2", "R_Y_3"),
        "t_258",
    ]


def test_a_grammar_names_no_more_tokens_than_there_is_room_for() -> None:
    most = "root ::= " + " ".join(f"!<[{n}]>" for n in range(1, MAX_TOKENS - 1)) + " <call> <bos>"
    assert len(lark_of(most)) < 1_000_000
    with pytest.raises(GrammarError, match=f"column {len(most) + 2}: a grammar may name {MAX_TOKENS} tokens"):
        lark_of(most + " <[255]>")


def test_long_grammars_are_read_in_one_go() -> None:
    chain = "\n".join(f"r{i} ::= r{i + 1}" for i in range(10_000))
    assert len(lark_of(f'root ::= r0\n{chain}\nr10000 ::= "a"').splitlines()) == 10_003


def test_an_item_with_a_million_repetitions_is_read_at_once() -> None:
    # where each of them copied what it repeats, this took an hour
    lark = lark_of('root ::= "a"' + "*" * 1_000_000)
    assert lark.count("(") == lark.count(")*") == 1_000_000
