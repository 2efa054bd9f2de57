"""Resolves names below localhost, such as the host of the Discovery API, as RFC 6761 asks for. Not every system does."""
import socket

resolve = socket.getaddrinfo


def getaddrinfo(host, *arguments, **options):
    name = host.decode() if isinstance(host, bytes) else host
    return resolve("localhost" if name and name.endswith(".localhost") else host, *arguments, **options)


socket.getaddrinfo = getaddrinfo
