"""The embedded broker, with processes that write while another reads."""

import multiprocessing
from pathlib import Path

import pytest
from kombu import Connection

from portal import embedded_broker

MESSAGES, WRITERS = 600, 3
TRANSPORT = embedded_broker.Transport


@pytest.fixture
def options(tmp_path: Path) -> dict[str, str]:
    folders = {"data_folder_in": "messages", "data_folder_out": "messages", "control_folder": "control"}
    for folder in set(folders.values()):
        (tmp_path / folder).mkdir()
    return {name: str(tmp_path / folder) for name, folder in folders.items()}


def connect(options: dict[str, str]) -> Connection:
    return Connection(transport=TRANSPORT, transport_options={**options, "polling_interval": 0.0001})


def write(options: dict[str, str], writer: int) -> None:
    with connect(options) as connection, connection.SimpleQueue("work") as queue:
        for number in range(MESSAGES):
            queue.put([writer, number, "x" * 5000])


def test_every_message_arrives_whole_and_once(options: dict[str, str]) -> None:
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=write, args=(options, writer)) for writer in range(WRITERS)]
    for process in writers:
        process.start()
    read = []
    with connect(options) as connection, connection.SimpleQueue("work") as queue:
        while len(read) < MESSAGES * WRITERS:
            message = queue.get(timeout=30)
            read.append(tuple(message.payload[:2]))
            message.ack()
    for process in writers:
        process.join()

    assert sorted(read) == [(writer, number) for writer in range(WRITERS) for number in range(MESSAGES)]
