"""`manage.py reset-password NAME`: let somebody back in."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.accounts import lockout
from apps.accounts.first_start import generate_password
from apps.accounts.selectors import find_user_by_login
from apps.accounts.services import mfa, passwords, sessions, users
from apps.core.errors import DomainError
from apps.core.principals import system


class Command(BaseCommand):
    """Sets a new password, ends the sessions, lifts the lockout; on request removes the second factor, too."""

    help = (
        "Set a new password for a user, end their sessions and lift the lockout. A generated password is printed once."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the name and what else to do."""
        parser.add_argument("name", help="user name or email")
        parser.add_argument("--disable-mfa", action="store_true", help="remove the second factor, too")
        parser.add_argument("--enable", action="store_true", help="enable the user where they are disabled")
        parser.add_argument("--password-stdin", action="store_true", help="read the new password from standard input")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it; a refusal is one sentence and exit code 1."""
        user = find_user_by_login(options["name"])
        if user is None:
            raise SystemExit(f"There is no user {options['name']}.")
        actor = system("command line")
        given = sys.stdin.readline().rstrip("\r\n") if options["password_stdin"] else ""
        password = given or generate_password()
        try:
            passwords.set_password_of(user_id=user.id, new_password=password, actor=actor, must_change=not given)
            if options["enable"] and user.disabled:
                users.update_user(user_id=user.id, changes={"disabled": False}, actor=actor)
        except DomainError as error:
            raise SystemExit(str(error)) from error
        lockout.lift(user)
        had_mfa = mfa.is_enabled(user)
        if options["disable_mfa"]:
            mfa.remove_device(user=user, actor=actor, note="from the command line")
        sessions.end_sessions_of(user=user, reason="password_reset", actor=actor)
        self.stdout.write(f"The password of {user.username} is set; all their sessions have ended.")
        if not given:
            self.stdout.write(f"New password: {password}   (shown this once; it must be changed at the next login)")
        if had_mfa:
            stays = "The second factor stays; --disable-mfa removes it."
            self.stdout.write("The second factor is removed." if options["disable_mfa"] else stays)
        if user.disabled and not options["enable"]:
            self.stdout.write("The user is disabled; --enable lets them log in again.")
