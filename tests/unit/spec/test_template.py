from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.runner.runner import quote_word, render
from orchestrator.spec.template import TemplateError, compile, compile_shell, faults_in, names_in

X = {"name": "x"}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", []),
        ("plain", ["plain"]),
        ("{x}", [X]),
        ("--lr={x} {x}", ["--lr=", X, " ", X]),
        ("${HOME} $HOME ${x} ${x:-1}", ["${HOME} $HOME ${x} ${x:-1}"]),
        ("{{x}}", ["{{x}}"]),
        ("{{{x}}}", ["{{{x}}}"]),
        ("{{x}", ["{", X]),
        ('{"a": {x}}', ['{"a": ', X, "}"]),
        ('{"a": {"b": 1}}', ['{"a": {"b": 1}}']),
        ("{1..3} {} {a,b} {a-b} { x } {x y} {1x}", ["{1..3} {} {a,b} {a-b} { x } {x y} {1x}"]),
        ("{{.Names}} {{ x }}", ["{{.Names}} {{ x }}"]),
        ("{x", ["{x"]),
        ("x}", ["x}"]),
        ("{x}{x}", [X, X]),
        ("$${x}", ["$${x}"]),
        ("{é}", ["{é}"]),
    ],
)
def test_only_an_identifier_in_braces_is_a_placeholder(text: str, parts: list[object]) -> None:
    assert compile(text).to_json() == parts
    assert compile_shell(text).to_json() == parts or faults_in(text)


@given(st.text(alphabet='{}$x ab"1:', max_size=30))
def test_what_is_literal_survives_and_what_is_not_is_a_name(text: str) -> None:
    template = compile(text)
    assert template.names == names_in(text, shell=False)
    if "{" not in text:
        assert template.to_json() == ([text] if text else [])
    rendered = render(template.to_json(), dict.fromkeys(template.names, "VALUE"))
    assert len(rendered.replace("VALUE", "")) <= len(text)


def test_a_template_can_follow_a_literal_text() -> None:
    assert compile("{x}/y").after("/a{b}/").to_json() == ["/a{b}/", X, "/y"]


@pytest.mark.parametrize(
    ("command", "parts"),
    [
        (r"echo \{x} {x}", [r"echo \{x} ", X]),
        (r"echo \\{x}", ["echo \\\\", X]),
        ("awk '{print $1}' {x}", ["awk '{print $1}' ", X]),
        ('echo "it\'s" {x} \'a "b"\' {x}', ['echo "it\'s" ', X, " 'a \"b\"' ", X]),
        ('echo "$(cat {x})"', ['echo "$(cat ', X, ')"']),
        ("(cd {x} && ls) | wc", ["(cd ", X, " && ls) | wc"]),
        ("a # it's\nb {x}", ["a # it's\nb ", X]),
        ("a#'{y}'", None),
        (
            "cat <<EOF {x}\nit's {literal text}\nEOF\necho {x}",
            ["cat <<EOF ", X, "\nit's {literal text}\nEOF\necho ", X],
        ),
        ("cat <<< {x}", ["cat <<< ", X]),
        ("case {x} in a) b {x};; esac; c {x}", ["case ", X, " in a) b ", X, ";; esac; c ", X]),
        ("echo ${a:-'}'} {x}", ["echo ${a:-'}'} ", X]),
        ("echo $((1 + 2)) {x}", ["echo $((1 + 2)) ", X]),
        ("for i in 1 2; do f {x} $i; done", ["for i in 1 2; do f ", X, " $i; done"]),
        ("'{\"lr\": '{x}'}'", ["'{\"lr\": '", X, "'}'"]),
        ("echo $# ${#a} {x}", ["echo $# ${#a} ", X]),
    ],
)
def test_a_placeholder_may_stand_wherever_the_shell_expects_a_word(command: str, parts: list[object] | None) -> None:
    if parts is None:
        assert faults_in(command)
    else:
        assert compile_shell(command).to_json() == parts


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("echo '{x}'", "drop the quotes"),
        ('echo "{x}"', "drop the quotes"),
        ("echo 'a {x}'", "end the quotes before it"),
        ('echo "a{x}b"', "end the quotes before it"),
        ("echo `cat {x}`", "backquotes"),
        ('echo "`cat {x}`"', "backquotes"),
        ("a # {x}", "comment"),
        ("cat <<EOF\n{x}\nEOF", "here-document"),
        ("cat <<'EOF'\n{x}\nEOF", "here-document"),
        ("cat <<-EOF\n\t{x}\n\tEOF", "here-document"),
        ("echo $(({x} + 1))", "arithmetic"),
        ("(({x} > 1)) && a", "arithmetic"),
        ("echo ${a:-{x}}", "inside ${...}"),
        ("[[ {x} -eq 1 ]]", "[ ... ]"),
        ("echo $'{x}'", "drop the quotes"),
        ('echo $"{x}"', "drop the quotes"),
        ("echo $[{x}]", "$["),
        (r"echo $'a\'b' {x} '", "not every shell"),
        ('echo "$(case a in a) echo "{x}";; esac)"', "case"),
        ('echo "${a:-"b}" {x}"}"', "${"),
        ("echo 'open {x}", "not closed"),
        ('echo "open', "not closed"),
        ("echo $(cat {x}", "not closed"),
        ("echo ${a", "not closed"),
    ],
)
def test_a_placeholder_where_quoting_cannot_hold_is_refused(command: str, says: str) -> None:
    with pytest.raises(TemplateError) as caught:
        compile_shell(command)
    assert says in str(caught.value)


CANARY = "CANARY"
HOSTILE = [
    f"'; touch {CANARY}; '",
    f'"; touch {CANARY}; "',
    f"$(touch {CANARY})",
    f"`touch {CANARY}`",
    f"\ntouch {CANARY}\n",
    f"; touch {CANARY} #",
    f"a[$(touch {CANARY})]",
    f"}}; touch {CANARY}; {{",
    f")); touch {CANARY}; ((",
    f"EOF\ntouch {CANARY}\nEOF\n",
    f"\\'; touch {CANARY}; #",
    f"esac; touch {CANARY}",
    f"> {CANARY}",
    f"& touch {CANARY} &",
]

PIECES = [
    *("echo", "echo", "{x}", "{x}", "{x}", " ", " ", " ", "\n", ";", "'", "'", '"', '"', "\\", "`", "#", "(", ")"),
    *(
        "$(",
        "${a:-",
        "}",
        "$((",
        "))",
        "((",
        "$'",
        '$"',
        "<<EOF",
        "\nEOF\n",
        "<<-'E F'",
        "\nE F\n",
        "[[ ",
        " ]]",
        "|",
        "&&",
    ),
    *(
        "case a in",
        " a) ",
        ";;",
        "esac",
        "{",
        "$",
        "\\'",
        '\\"',
        "1",
        "a=",
        "=",
        "+",
        "<<<",
        "{{x}}",
        "\\{x}",
        "${x}",
        "\t",
    ),
]


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_no_value_breaks_out_of_any_command_that_is_accepted(shell: str, tmp_path: Path) -> None:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"there is no {shell} here")
    # Nothing but builtins and one command can be found, so that random text does no harm.
    tools = tmp_path / "tools"
    tools.mkdir()
    touch = shutil.which("touch")
    assert touch is not None
    (tools / "touch").symlink_to(touch)
    work = tmp_path / "work"
    work.mkdir()
    draw = random.Random(20260 if shell == "sh" else 20261)
    tried = 0
    while tried < 250:
        command = "echo " + "".join(draw.choice(PIECES) for _ in range(draw.randrange(2, 14)))
        if faults_in(command) or not names_in(command, shell=True):
            continue
        tried += 1
        value = draw.choice(HOSTILE)
        line = render(compile_shell(command).to_json(), dict.fromkeys(names_in(command, shell=True), value), quote_word)
        subprocess.run(
            [found, "-c", line],
            cwd=work,
            env={"PATH": str(tools)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=20,
            check=False,
        )
        assert not (work / CANARY).exists(), f"{command!r} with {value!r} ran {line!r}"


def test_the_canary_is_found_where_quoting_is_left_out(tmp_path: Path) -> None:
    """The test above would find a break-out: without quoting, nearly every hostile value is one."""
    broken = 0
    for number, value in enumerate(HOSTILE):
        work = tmp_path / str(number)
        work.mkdir()
        subprocess.run(["sh", "-c", f"echo {value}"], cwd=work, env=os.environ, capture_output=True, check=False)
        broken += (work / CANARY).exists()
    assert broken >= 5


@pytest.mark.parametrize(
    "value", ["", "a b", "it's", '"', "$HOME", "\\", "\n", "*", "~", "-n x", "é𝔘", "{y}", "#", *HOSTILE]
)
def test_a_value_arrives_as_exactly_one_word(value: str) -> None:
    line = render(compile_shell("printf '%s|' {x} a{x}b \"$(printf %s {x}.)\"").to_json(), {"x": value}, quote_word)
    done = subprocess.run(["sh", "-c", line], capture_output=True, check=True)
    assert done.stdout.decode() == f"{value}|a{value}b|{value}.|"
