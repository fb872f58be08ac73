from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.content import limits
from dashp2p.content.template import TemplateRefused, expand

VALUES: dict[str, str | int] = {
    "RepresentationID": "v1",
    "Number": 7,
    "Bandwidth": 500_000,
    "Time": 90_000,
}


class TemplateTests(SynchronousTestCase):
    def test_each_identifier_is_replaced(self) -> None:
        for template, expected in (
            ("chunk_$RepresentationID$_$Number$.m4s", "chunk_v1_7.m4s"),
            ("$RepresentationID$/$Number%05d$.m4s", "v1/00007.m4s"),
            ("$Bandwidth$/$Time$.m4s", "500000/90000.m4s"),
            ("$Bandwidth%08d$", "00500000"),
            ("plain.m4s", "plain.m4s"),
            ("a$$b", "a$b"),
        ):
            self.assertEqual(expand(template, VALUES), expected)

    def test_what_the_standard_does_not_know_is_refused(self) -> None:
        for template in (
            "$Nothing$", "$Number", "Number$", "$Number%5x$", "$Number%s$",
            "$RepresentationID%02d$", "$Number%099d$", "$SubNumber$",
        ):  # fmt: skip
            self.assertRaises(TemplateRefused, expand, template, VALUES)

    def test_a_template_above_the_limit_is_refused(self) -> None:
        long = "a" * (limits.PATH_MAX_CHARS + 1)
        self.assertRaises(TemplateRefused, expand, long, VALUES)

    @given(st.text(alphabet="$%0d1Number RTime\u0661", max_size=20))
    def test_no_template_makes_it_fail_otherwise(self, template: str) -> None:
        try:
            expand(template, VALUES)
        except TemplateRefused:
            return
