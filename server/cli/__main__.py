"""`python -m server.cli` is `puna`."""

from server.cli.main import main

raise SystemExit(main())
