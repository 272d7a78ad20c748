"""The API asked all that its schema allows, and much that it forbids, by schemathesis.

    .venv/bin/python -m tests.security.api_fuzz --examples 500

It asks a real web server.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.security.live_world import LiveWorld, running_world

# Who may do all, and who may do nothing but what everybody may.
PEOPLE = ("admin", "owner")
# Where operations name something: half of the time something that exists.
NAMED = {
    "path.id radiograph_id": ("radiograph_retrieve", "radiograph_image", "radiograph_thumbnail"),
    "path.id failed_id": ("radiograph_delete",),
    "path.id prediction_id": ("prediction_retrieve",),
    "path.id batch_id": ("prediction_batch_retrieve",),
    "path.id dataset_id": ("dataset_version_retrieve",),
    "path.id run_id": ("training_run_retrieve", "training_run_cancel"),
    "path.id comparison_id": ("comparison_retrieve",),
    "path.id recalibration_id": ("recalibration_retrieve",),
    "path.number number": ("model_version_retrieve", "model_version_promote", "model_version_compare"),
    "query.radiograph radiograph_id": ("review_list",),
    "body.prediction prediction_id": ("review_create",),
    "body.radiographs[*] radiograph_id": ("prediction_batch_create",),
    "body.parent dataset_id": ("dataset_version_create",),
    "body.dataset_version dataset_id": ("training_run_create",),
}
# No schema says what an X-ray is, which classes the live model knows, or which recipe fits its network: what keeps to
# the schema may still be refused.
BEYOND_A_SCHEMA = (
    "radiograph_list",
    "radiograph_create",
    "dataset_version_create",
    "review_create",
    "training_run_create",
)
# Who lacks the permission finds nothing at these addresses, whatever the method: 404, where others get 405.
RETRAINING = (
    "/api/v1/(reviews|dataset-versions|training-runs|model-versions|comparisons|recalibrations|promotions"
    "|promotion-requests|retraining-schedule|audit-entries)/"
)


def configuration(target: LiveWorld, person: str) -> str:
    lines = [
        f"hooks = {json.dumps(str(Path(__file__).with_name('schemathesis_hooks.py')))}",
        f'auth.openapi.Bearer.bearer = "{target.tokens[person]}"',
        *(f"dictionaries.{name}.values = [{json.dumps(value)}]" for name, value in target.ids.items()),
        "[[operations]]",
        f"include-operation-id = {json.dumps(BEYOND_A_SCHEMA)}",
        'checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "404", "409"]',
        "[[operations]]",
        f"include-path-regex = {json.dumps(RETRAINING)}",
        f"checks.unsupported_method.enabled = {json.dumps(person == 'admin')}",
        "[[operations]]",
        'include-operation-id = "token_revoke"',
        f'headers = {{ Authorization = "Bearer {target.spare_tokens[person]}" }}',
    ]
    for place, operations in NAMED.items():
        parameter, dictionary = place.split()
        lines += [
            "[[operations]]",
            f"include-operation-id = {json.dumps(operations)}",
            f'parameters = {{ "{parameter}" = {{ dictionary = "{dictionary}", probability = 0.5 }} }}',
        ]
    return "\n".join(lines) + "\n"


def ask(
    target: LiveWorld, person: str, folder: Path, *, examples: int, seed: int = 1
) -> "subprocess.CompletedProcess[str]":
    """All operations with all checks, which is the default. Says what is wrong, and how to ask so again."""
    config = folder / f"{person}.toml"
    config.write_text(configuration(target, person))
    return subprocess.run(
        [
            *(Path(sys.executable).with_name("st"), "--config-file", config, "--no-color"),
            *("run", f"{target.url}/api/v1/schema/"),
            *("--max-examples", str(examples), "--seed", str(seed)),
        ],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--examples", type=int, default=500, help="of each operation, in each phase")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory(prefix="callus-fuzz-") as name:
        folder = Path(name)
        with running_world(folder / "portal") as target:
            for person in PEOPLE:
                done = ask(target, person, folder, examples=asked.examples, seed=asked.seed)
                sys.stdout.write(f"As {person}:\n{done.stdout}\n")
                failed = failed or done.returncode != 0
    raise SystemExit(failed)


if __name__ == "__main__":
    main()
