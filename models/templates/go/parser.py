"""Builds the tree of a template from its tokens.

Source: Go, text/template/parse/parse.go; the texts of errors are those of Go.
"""

from __future__ import annotations

from collections.abc import Iterable

from models.templates.errors import TemplateError
from models.templates.go.lexer import Kind, Token, parse_error, tokens
from models.templates.go.literals import number_value, unquote
from models.templates.go.nodes import (
    Action,
    Block,
    Break,
    Chain,
    Command,
    Constant,
    Continue,
    Dot,
    Field,
    Function,
    If,
    Invoke,
    Nil,
    Node,
    Operand,
    Pipe,
    Range,
    Template,
    Text,
    Variable,
    With,
)
from registry.gojson import quote

MAX_TEXT_CHARS = 128 * 1024

_STARTS_OPERAND = frozenset(
    {
        Kind.BOOL,
        Kind.CHARACTER,
        Kind.DOT,
        Kind.FIELD,
        Kind.FUNCTION,
        Kind.LEFT_PAREN,
        Kind.NIL,
        Kind.NUMBER,
        Kind.RAW_STRING,
        Kind.STRING,
        Kind.VARIABLE,
    }
)
_BRANCHES: dict[str, type[If] | type[With] | type[Range]] = {"if": If, "with": With, "range": Range}


def parse_template(text: str, function_names: Iterable[str]) -> Template:
    """The tree of a template that may call these functions. Raises: TemplateError, in Go's words."""
    if len(text) > MAX_TEXT_CHARS:
        raise TemplateError("template: :1: template is too long")
    try:
        return _Parser(text, frozenset(function_names)).parse()
    except RecursionError:
        raise TemplateError("template: :1: template is nested too deeply") from None


class _Parser:
    def __init__(self, text: str, functions: frozenset[str]) -> None:
        self._text = text
        self._functions = functions
        self._tokens = tokens(text)
        self._pushed: list[Token] = []
        self._token = Token(Kind.END, "", 0)
        self._variables = ["$"]
        self._range_depth = 0
        self._defined: dict[str, Block] = {}

    def parse(self) -> Template:
        nodes: list[Node] = []
        while self._peek(skips_space=False).kind is not Kind.END:
            if self._is_definition():
                self._definition()
                continue
            node = self._text_or_action()
            if isinstance(node, Token):
                raise self._error(f"unexpected {{{{{node.text}}}}}")
            nodes.append(node)
        return Template(self._text, Block(0, tuple(nodes)), self._defined)

    # ---- tokens

    def _next(self, *, skips_space: bool = True) -> Token:
        while True:
            self._token = self._pushed.pop() if self._pushed else next(self._tokens)
            if not (skips_space and self._token.kind is Kind.SPACE):
                return self._token

    def _peek(self, *, skips_space: bool = True) -> Token:
        token = self._next(skips_space=skips_space)
        self._pushed.append(token)
        return token

    def _back(self, *unread: Token) -> None:
        self._pushed.extend(reversed(unread))

    def _expect(self, kind: Kind, context: str) -> Token:
        token = self._next()
        if token.kind is not kind:
            raise self._unexpected(token, context)
        return token

    def _error(self, message: str) -> TemplateError:
        return parse_error(self._text, self._token.at, message)

    def _unexpected(self, token: Token, context: str) -> TemplateError:
        return self._error(f"unexpected {token} in {context}")

    # ---- blocks

    def _is_definition(self) -> bool:
        opened = self._next(skips_space=False)
        keyword = self._peek() if opened.kind is Kind.OPEN else opened
        self._back(opened)
        return keyword.kind is Kind.KEYWORD and keyword.text == "define"

    def _definition(self) -> None:
        self._next()
        self._next()
        name = self._string("define clause")
        self._expect(Kind.CLOSE, "define clause")
        self._define(name, self._body("define clause"))

    def _body(self, context: str) -> Block:
        """A template of its own: it knows nothing of the variables and loops around it."""
        outer = self._variables, self._range_depth
        self._variables, self._range_depth = ["$"], 0
        block, end = self._block()
        if end.text != "end":
            raise self._error(f"unexpected {{{{{end.text}}}}} in {context}")
        self._variables, self._range_depth = outer
        return block

    def _define(self, name: str, block: Block) -> None:
        def is_empty(one: Block) -> bool:
            return all(isinstance(node, Text) and not node.text.strip() for node in one.nodes)

        known = self._defined.get(name)
        if known is None or is_empty(known):
            self._defined[name] = block
        elif not is_empty(block):
            raise self._error(f"template: multiple definition of template {quote(name)}")

    def _block(self) -> tuple[Block, Token]:
        """The nodes up to `end` or `else`, and that token."""
        nodes: list[Node] = []
        at = self._peek().at
        while self._peek(skips_space=False).kind is not Kind.END:
            node = self._text_or_action()
            if isinstance(node, Token):
                return Block(at, tuple(nodes)), node
            nodes.append(node)
        raise self._error("unexpected EOF")

    def _text_or_action(self) -> Node | Token:
        token = self._next(skips_space=False)
        if token.kind is Kind.TEXT:
            return Text(token.at, token.text)
        if token.kind is Kind.OPEN:
            return self._action()
        raise self._unexpected(token, "input")

    def _action(self) -> Node | Token:
        """A node, or the token of an `end` or `else`."""
        token = self._next()
        if token.kind is Kind.KEYWORD:
            match token.text:
                case "if" | "with" | "range":
                    return self._branch(token)
                case "end":
                    self._expect(Kind.CLOSE, "end")
                    return token
                case "else":
                    return self._else(token)
                case "break" | "continue":
                    return self._jump(token)
                case "template":
                    return self._invoke(token)
                case "block":
                    return self._named_block(token)
            raise self._unexpected(token, "command")
        self._back(token)
        at = self._peek().at
        return Action(at, self._pipeline("command", Kind.CLOSE))

    def _branch(self, keyword: Token) -> Node:
        n_variables = len(self._variables)
        context = keyword.text
        pipe = self._pipeline(context, Kind.CLOSE)
        self._range_depth += context == "range"
        then, end = self._block()
        self._range_depth -= context == "range"
        otherwise = self._otherwise(context, end)
        del self._variables[n_variables:]
        return _BRANCHES[context](keyword.at, pipe, then, otherwise)

    def _otherwise(self, context: str, end: Token) -> Block | None:
        if end.text == "end":
            return None
        following = self._peek(skips_space=False)
        if following.kind is Kind.KEYWORD and following.text == context and context != "range":
            # `else if` opens a branch of its own, closed by the same `end`.
            return Block(following.at, (self._branch(self._next()),))
        block, end = self._block()
        if end.text != "end":
            raise self._error(f"expected end; found {{{{{end.text}}}}}")
        return block

    def _else(self, token: Token) -> Token:
        following = self._peek()
        if not (following.kind is Kind.KEYWORD and following.text in ("if", "with")):
            self._expect(Kind.CLOSE, "else")
        return token

    def _jump(self, keyword: Token) -> Node:
        token = self._next()
        if token.kind is not Kind.CLOSE:
            raise self._unexpected(token, f"{{{{{keyword.text}}}}}")
        if self._range_depth == 0:
            raise self._error(f"{{{{{keyword.text}}}}} outside {{{{range}}}}")
        return Break(keyword.at) if keyword.text == "break" else Continue(keyword.at)

    def _invoke(self, keyword: Token) -> Node:
        name = self._string("template clause")
        token = self._next()
        if token.kind is Kind.CLOSE:
            return Invoke(keyword.at, name, None)
        self._back(token)
        return Invoke(keyword.at, name, self._pipeline("template clause", Kind.CLOSE))

    def _named_block(self, keyword: Token) -> Node:
        name = self._string("block clause")
        pipe = self._pipeline("block clause", Kind.CLOSE)
        self._define(name, self._body("block clause"))
        return Invoke(keyword.at, name, pipe)

    def _string(self, context: str) -> str:
        token = self._next()
        if token.kind not in (Kind.STRING, Kind.RAW_STRING):
            raise self._unexpected(token, context)
        return self._unquoted(token)

    def _unquoted(self, token: Token) -> str:
        try:
            return unquote(token.text)
        except ValueError:
            raise self._error("invalid syntax") from None

    # ---- pipelines

    def _pipeline(self, context: str, end: Kind) -> Pipe:
        at = self._peek().at
        declared, assigns = self._declarations(context)
        commands: list[Command] = []
        while (token := self._next()).kind is not end:
            if token.kind not in _STARTS_OPERAND:
                raise self._unexpected(token, context)
            self._back(token)
            commands.append(self._command())
        if not commands:
            raise self._error(f"missing value for {context}")
        for stage, command in enumerate(commands[1:], start=2):
            if isinstance(command.arguments[0], (Constant, Dot, Nil)):
                raise self._error(f"non executable command in pipeline stage {stage}")
        return Pipe(at, tuple(declared), assigns, tuple(commands))

    def _declarations(self, context: str) -> tuple[list[str], bool]:
        declared: list[str] = []
        while self._peek().kind is Kind.VARIABLE:
            variable = self._next()
            after = self._next(skips_space=False)
            sign = after if after.kind is not Kind.SPACE else self._next()
            if sign.kind in (Kind.ASSIGN, Kind.DECLARE):
                declared.append(variable.text)
                self._variables.append(variable.text)
                return declared, sign.kind is Kind.ASSIGN
            if sign.kind is not Kind.PUNCTUATION or sign.text != ",":
                self._back(variable, after, *([] if sign is after else [sign]))
                break
            declared.append(variable.text)
            self._variables.append(variable.text)
            self._expect_second(context, declared)
        return declared, False

    def _expect_second(self, context: str, declared: list[str]) -> None:
        if context != "range" or len(declared) > 1:
            raise self._error(f"too many declarations in {context}")
        if self._peek().kind not in (Kind.VARIABLE, Kind.CLOSE, Kind.RIGHT_PAREN):
            raise self._error("range can only initialize variables")

    def _command(self) -> Command:
        arguments: list[Operand] = []
        at = self._peek().at
        while True:
            operand = self._operand()
            if operand is not None:
                arguments.append(operand)
            token = self._next(skips_space=False)
            if token.kind is Kind.SPACE:
                continue
            if token.kind in (Kind.CLOSE, Kind.RIGHT_PAREN):
                self._back(token)
            elif token.kind is not Kind.PIPE:
                raise self._unexpected(token, "operand")
            break
        if not arguments:
            raise self._error("empty command")
        return Command(at, tuple(arguments))

    def _operand(self) -> Operand | None:
        node = self._term()
        if node is None or self._peek(skips_space=False).kind is not Kind.FIELD:
            return node
        at = self._peek(skips_space=False).at
        names: list[str] = []
        while self._peek(skips_space=False).kind is Kind.FIELD:
            names.append(self._next(skips_space=False).text[1:])
        match node:
            case Field():
                return Field(node.at, (*node.names, *names))
            case Variable():
                return Variable(node.at, node.name, (*node.names, *names))
            case Constant() | Nil() | Dot():
                raise self._error(f"unexpected . after term {quote(str(node))}")
        return Chain(at, node, tuple(names))

    def _term(self) -> Operand | None:
        token = self._next()
        match token.kind:
            case Kind.FUNCTION:
                if token.text not in self._functions:
                    raise self._error(f"function {quote(token.text)} not defined")
                return Function(token.at, token.text)
            case Kind.DOT:
                return Dot(token.at)
            case Kind.NIL:
                return Nil(token.at)
            case Kind.VARIABLE:
                if token.text not in self._variables:
                    raise self._error(f"undefined variable {quote(token.text)}")
                return Variable(token.at, token.text)
            case Kind.FIELD:
                return Field(token.at, (token.text[1:],))
            case Kind.BOOL:
                return Constant(token.at, token.text == "true", token.text)
            case Kind.NUMBER | Kind.CHARACTER:
                return Constant(token.at, self._number(token), token.text)
            case Kind.STRING | Kind.RAW_STRING:
                return Constant(token.at, self._unquoted(token), token.text)
            case Kind.LEFT_PAREN:
                return self._pipeline("parenthesized pipeline", Kind.RIGHT_PAREN)
        self._back(token)
        return None

    def _number(self, token: Token) -> int | float:
        try:
            return number_value(token.text)
        except ValueError as error:
            raise self._error(str(error)) from None
