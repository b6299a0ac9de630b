"""`clocksvc serve`: from arguments and configuration to a running service. What serving is, says `clocksvc.serve`."""

import argparse

from clocksvc.cli.arguments import add_config, load_settings
from clocksvc.service.log_format import (
    FORMATS,
    LEVELS,
    setup_logging,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to listen, how to log."""
    add_config(parser)
    parser.add_argument("--host", help="listen on this address instead of api.host")
    parser.add_argument("--port", type=int, help="listen on this port instead of api.port; 0 is any free one")
    parser.add_argument(
        "--insecure", action="store_true", help="listen beyond this machine although no tokens are configured"
    )
    parser.add_argument("--log-format", choices=FORMATS, help="json, or text; unless set text on a terminal, else json")
    parser.add_argument("--log-level", choices=LEVELS, default="INFO", type=str.upper, help="INFO unless set")


def run(args: argparse.Namespace) -> int:
    """Serve until a signal ends it."""
    from clocksvc.cli.serve_process import serve

    setup_logging(args.log_format, level=args.log_level)
    address = {"CLOCKSVC_API__HOST": args.host, "CLOCKSVC_API__PORT": args.port}
    serve(load_settings(args, address), insecure=args.insecure)
    return 0
