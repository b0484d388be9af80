"""The tasks of a gatepost process, live or dead, for gdb:

    gdb -p PID -x tools/gdb/tasks.py        (or: gdb build/release/gatepost core -x tools/gdb/tasks.py)
    (gdb) tasks                 each task: its state, its name, its session, where it waits
    (gdb) tasks bt              the same with the whole call chain of each
    (gdb) tasks bt milter       of those whose name or session holds "milter"

A task that waits is not on the CPU, so gdb's own backtrace does not see it.  Its registers lie where jump_fcontext() put them, and
the frame pointers (-fno-omit-frame-pointer) lead on from there.
"""
import gdb

# What jump_fcontext() saves on x86-64, by offset from the context; on others only the list works.
SAVED_RBP, SAVED_RIP = 0x30, 0x38
STACK_SIZE, SLAB_STACKS, GUARD = 64 * 1024, 16, 4096


def words(address, count=1):
    memory = gdb.selected_inferior().read_memory(address, 8 * count)
    return [int.from_bytes(memory[8 * i:8 * i + 8].tobytes(), 'little') for i in range(count)]


def text_at(pointer):
    return pointer.string() if int(pointer) else '-'


def all_tasks():
    """A task lies at the top of its stack; one that has ended, or a stack that was never used, does not say so."""
    kind = gdb.lookup_type('struct task')
    size = (kind.sizeof + 63) & ~63
    slab = gdb.parse_and_eval("'lib/run/stack.c'::pool.slabs")
    while int(slab):
        for i in range(SLAB_STACKS):
            stack = int(slab['map']) + i * (GUARD + STACK_SIZE) + GUARD
            task = gdb.Value(stack + STACK_SIZE - size).cast(kind.pointer()).dereference()
            if int(task['stack']) == stack and str(task['state']) != 'TASK_ENDED':
                yield task
        slab = slab['next']


def symbol(address):
    found = gdb.find_pc_line(address)
    block = gdb.block_for_pc(address)
    while block and not block.function:
        block = block.superblock
    name = block.function.name if block else '0x%x' % address
    return name, '%s:%d' % (found.symtab.filename, found.line) if found.symtab else ''


def call_chain(task):
    """(function, place) from the innermost outwards, without lib/run's own switching."""
    if 'x86-64' not in gdb.selected_inferior().architecture().name():
        return
    stack, context = int(task['stack']), int(task['context'])
    rbp, rip = words(context + SAVED_RBP, 2)
    while True:
        name, place = symbol(rip - 1)
        yield name, place
        if name == 'task_main' or not stack <= rbp < stack + STACK_SIZE:
            return
        rbp, rip = words(rbp, 2)


def waits_at(chain):
    for name, place in chain:
        if not place.startswith('lib/run/') and '/lib/run/' not in place:
            return '%s (%s)' % (name, place)
    return '-'


class Tasks(gdb.Command):
    """List the tasks of a gatepost process: tasks [bt] [PART OF NAME OR SESSION]"""

    def __init__(self):
        super().__init__('tasks', gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        arguments = gdb.string_to_argv(argument)
        whole = arguments[:1] == ['bt']
        wanted = arguments[1:] if whole else arguments
        running = int(gdb.parse_and_eval('loop.current'))
        count = 0
        for task in all_tasks():
            name, session = text_at(task['name']), text_at(task['session'])
            if wanted and not any(w in name or w in session for w in wanted):
                continue
            count += 1
            here = int(task.address) == running
            chain = [] if here else list(call_chain(task))
            state = str(task['state']).replace('TASK_', '').lower()
            print('%-8s %-16s %-20s %s' % (state, name, session, 'on the CPU: see bt' if here else waits_at(chain)))
            if whole:
                for function, place in chain:
                    print('             %s  %s' % (function, place))
        print('%d tasks' % count)


Tasks()
