from . import deep

VALUE = deep.VALUE
