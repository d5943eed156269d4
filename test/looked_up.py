"""Which host names a process asks for: a library to load before all others writes them down."""

import shutil
import socket
import subprocess
from pathlib import Path

import pytest

LIBRARY = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void note(const char *name) {
    char line[512];
    int file = open(getenv("LOOKED_UP"), O_WRONLY | O_APPEND | O_CREAT, 0600);
    int length = snprintf(line, sizeof line, "%s\n", name ? name : "");
    if (file >= 0 && write(file, line, length) == length) close(file);
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **result) {
    int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        dlsym(RTLD_NEXT, "getaddrinfo");
    note(name);
    return next(name, service, hints, result);
}

struct hostent *gethostbyname(const char *name) {
    struct hostent *(*next)(const char *) = dlsym(RTLD_NEXT, "gethostbyname");
    note(name);
    return next(name);
}

int gethostbyname_r(const char *name, struct hostent *entry, char *buffer, size_t size,
                    struct hostent **result, int *error) {
    int (*next)(const char *, struct hostent *, char *, size_t, struct hostent **, int *) =
        dlsym(RTLD_NEXT, "gethostbyname_r");
    note(name);
    return next(name, entry, buffer, size, result, error);
}
"""
OURS = {'', 'localhost', '127.0.0.1', '::1', '0.0.0.0', '::', socket.gethostname()}  # this machine


def build(folder: Path) -> Path:
    """Compile the library; set LD_PRELOAD to it and LOOKED_UP to the file for the names."""
    compiler = shutil.which('cc') or shutil.which('g++')
    if compiler is None:
        pytest.skip('no C compiler')
    source, library = folder / 'names.c', folder / 'names.so'
    source.write_text(LIBRARY)
    words = [compiler, '-x', 'c', '-shared', '-fPIC', '-o', str(library), str(source), '-ldl']
    subprocess.run(words, check=True)
    return library
