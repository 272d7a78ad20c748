"""The web server: reads requests and sends answers in an event loop, and runs Django in threads.

A client that sends or reads slowly costs a socket and no thread. Requests from senders that the portal does not know
are answered before a large body is read, and uploads take turns in threads apart from those of pages.
"""
