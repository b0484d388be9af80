"""Tables in databases, asked beside Debian's postmap -q with one and the same file: sqlite_table(5), pgsql_table(5), mysql_table(5), ldap_table(5),
memcache_table(5)."""
import glob
import os
import shutil
import signal
import subprocess

import pytest

from gp.authority import Authority
from gp.postfix import unpack
from gp.server import BINARY, free_port, wait_for
from test_tables import Asked

# Addresses and names, and keys that would like to be something else in a query.
KEYS = ['user@example.org', 'USER@Example.ORG', 'user', '@example.org', 'user@', '@', 'nobody@example.org', 'multi@example.org', 'mixed@example.org',
        "o'brien@example.org", "' OR '1'='1", "x'; DROP TABLE alias; --", "\\' OR 1=1 --", '\\', "a\\'b@example.org", "''", '"', '%', '%s', '%_%', 'user%@example.org',
        'a@b@example.org', '*', '(', ')', '*)(mail=*', 'user)(mail=*', '(|(mail=*))', '\\2a', 'j\xfcrgen@example.org', 'sub@a.b.example.org', 'dots@a..b.example.org',
        'u@.', 'u@.org', 'u@org.', 'u@a.b', 'space key', ' lead', 'trail ', 'tab\tkey', 'null@example.org', 'empty@example.org', 'bad@example.org', 'x' * 3000,
        'key,comma', 'a=b', '#hash', 'plus+ext@example.org', '<>', ';', '/*', '--', '$1', '${x}', '\u2603', 'CN=a,DC=b', 'only@second.example.org']

# What the tables hold: source, target.
ROWS = [('user@example.org', 'user'), ('user', 'local user'), ('@example.org', 'catch@all.example.org'), ('multi@example.org', 'a@one.example.org'),
        ('multi@example.org', 'b@two.example.org'), ('mixed@example.org', 'plain'), ('mixed@example.org', 'x@y.example.org'), ('mixed@example.org', '@z.example.org'),
        ("o'brien@example.org", "o'brien"), ('\\', 'backslash'), ("a\\'b@example.org", 'both'), ('"', 'quote'), ('%', 'percent'), ('*', 'star'), ('(', 'open'),
        ('j\xfcrgen@example.org', 'j\xfcrgen'), ('sub@a.b.example.org', 'sub'), ('dots@a..b.example.org', 'dots'), ('space key', 'space'), (' lead', 'lead'),
        ('trail ', 'trail'), ('tab\tkey', 'tab'), ('null@example.org', None), ('empty@example.org', ''), ('plus+ext@example.org', 'plus'), ('\u2603', 'snowman'),
        ('x' * 3000, 'long'), ('a@b@example.org', 'two at'), ('CN=a,DC=b', 'name'), ('only@second.example.org', 'second')]

# What a file adds to the way to the database.
QUERIES = {
    'plain': "query = SELECT target FROM alias WHERE source = '%s' ORDER BY id\n",
    'parts': "query = SELECT target FROM alias WHERE source = '%u@%d'\n ORDER BY id\nresult_format = %S -> %s (%U of %D)\n",
    'labels': "query = SELECT target FROM alias WHERE source = '%s' AND '%1' = 'org' AND '%2' = 'example'\nresult_format = %s.%2.%1\n",
    'user': "query = SELECT target FROM alias WHERE source = '%u'\n",
    'domain part': "query = SELECT target FROM alias WHERE source = '@%d'\nresult_format = [%d]%%%u\n",
    'result parts': "query = SELECT target FROM alias WHERE source = '%s' ORDER BY id\nresult_format = %u at %d\n",
    'result user': "query = SELECT target FROM alias WHERE source = '%s' ORDER BY id\nresult_format = <%u>\n",
    'domain': "query = SELECT target FROM alias WHERE source = '%s' ORDER BY id\ndomain = !a.b.example.org example.org, inline:{second.example.org=x}\n",
    'older': "table = alias\nselect_field = target\nwhere_field = source\nadditional_conditions = AND id > 0 ORDER BY id\n",
    'none': "query = SELECT target FROM alias WHERE 1 = 0\n",
}


class Beside:
    """One file in a folder, asked by gatepost and by Postfix."""

    def __init__(self, folder, kind):
        self.folder, self.kind = folder, kind
        self.root, self.conf = unpack(), os.path.join(folder, 'postfix')
        self.path = os.path.join(folder, kind + '.cf')
        os.makedirs(self.conf, exist_ok=True)
        for name, text in (('main.cf', 'compatibility_level = 3.6\nmail_owner = list\nsetgid_group = irc\ndefault_privs = nobody\n'
                            'queue_directory = /tmp\nmeta_directory = %s\nshlib_directory = %s/usr/lib/postfix\n' % (self.conf, self.root)),
                           ('master.cf', ''),
                           ('dynamicmaps.cf', ''.join('%s postfix-%s.so dict_%s_open\n' % (k, k, k) for k in ('sqlite', 'pgsql', 'mysql', 'ldap')))):
            self.write(os.path.join(self.conf, name), text)

    @staticmethod
    def write(path, text):
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text)

    @property
    def map(self):
        return '%s:%s' % (self.kind, self.path)

    def run(self, *args, keys=None, env=None):
        done = subprocess.run(args, input=None if keys is None else ('\n'.join(keys) + '\n').encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=60, check=False, env=dict(os.environ, **(env or {})))
        return done.returncode, done.stdout.decode('utf-8', 'surrogateescape'), done.stderr.decode('utf-8', 'surrogateescape')

    def gatepost(self, *args, keys=None):
        return self.run(BINARY, 'table', 'get', self.map, *args, keys=keys, env={'ASAN_OPTIONS': 'detect_leaks=0'})

    def postmap(self, *args, keys=None):
        return self.run(self.root + '/usr/sbin/postmap', '-c', self.conf, '-q', *args, self.map, keys=keys,
                        env={'LD_LIBRARY_PATH': self.root + '/usr/lib/postfix', 'LANG': 'C'})

    def same(self, text, keys=KEYS):
        """The answers to all KEYS, which must be Postfix's."""
        self.write(self.path, text)
        ours, theirs = self.gatepost('-', keys=keys), self.postmap('-', keys=keys)
        assert not ours[2], ours[2]
        assert ours[1].splitlines() == theirs[1].splitlines(), theirs[2]
        assert ours[0] == theirs[0]
        return dict(line.split('\t', 1) for line in ours[1].splitlines() if line.count('\t') == 1)

    def one(self, key):
        """(status, value, what was said) of one key."""
        status, out, err = self.gatepost(key)
        return status, out.rstrip('\n'), err

    def patient(self, timeout, *keys):
        """As gatepost(), with a time limit for a lookup."""
        config = os.path.join(self.folder, 'gatepost.conf')
        self.write(self.folder + '/mx.sieve', 'require "vnd.gatepost.mta"; stage "message" { discard; }\n')
        self.write(config, 'hostname = "mx.example.test"\nspool = "%s"\ntable t { map = "%s" timeout = %s }\n'
                   'listener mx { address = {"127.0.0.1:2525"} script = "mx.sieve" }\n' % (self.folder, self.map, timeout))
        return self.run(BINARY, '-c', config, 'table', 'get', 't', *keys, env={'ASAN_OPTIONS': 'detect_leaks=0'})

    def neither_can_tell(self, text, key, why):
        """Nor can Postfix."""
        self.write(self.path, text)
        self.cannot_tell(key, why)
        status, out, err = self.postmap(key)
        assert (status, out) == (1, '') and 'query error' in err

    def cannot_tell(self, key, why, timeout=None):
        status, out, err = self.patient(timeout, key) if timeout else self.gatepost(key)
        assert (status, out) == (1, '') and why in err, (status, out, err)


# ---- sqlite ----

@pytest.fixture(scope='module')
def sqlite(place):
    return Sqlite(place)


class Sqlite(Beside):
    def __init__(self, folder):
        super().__init__(folder, 'sqlite')
        self.db = os.path.join(folder, 'mail.db')
        self.fill(self.db, ROWS)

    def fill(self, path, rows):
        import sqlite3
        with sqlite3.connect(path) as c:
            c.execute('CREATE TABLE alias (id INTEGER PRIMARY KEY, source TEXT, target TEXT, other TEXT)')
            c.executemany("INSERT INTO alias (source, target, other) VALUES (?, ?, 'other')", rows)
        c.close()

    def config(self, text):
        return 'dbpath = %s\n%s' % (self.db, text)


@pytest.mark.parametrize('name', QUERIES)
def test_sqlite(sqlite, name):
    found = sqlite.same(sqlite.config(QUERIES[name]))
    if name == 'plain':
        assert found['user@example.org'] == 'user' and found['multi@example.org'] == 'a@one.example.org,b@two.example.org' and found["o'brien@example.org"] == "o'brien"
        assert 'nobody@example.org' not in found and 'null@example.org' not in found
    elif name == 'domain':
        assert set(found) >= {'user@example.org', 'only@second.example.org'} and 'sub@a.b.example.org' not in found and 'user' not in found


def test_sqlite_limit(sqlite):
    sqlite.write(sqlite.path, sqlite.config(QUERIES['plain'] + 'expansion_limit = 1\n'))
    assert sqlite.one('user@example.org')[:2] == (0, 'user')
    sqlite.cannot_tell('multi@example.org', 'more than 1 values (expansion_limit)')
    assert sqlite.postmap('multi@example.org')[:2] == (1, '')


def test_sqlite_first_column(sqlite):
    sqlite.same(sqlite.config("query = SELECT target, other FROM alias WHERE source = '%s' ORDER BY id\n"), ['user@example.org', 'multi@example.org'])


def test_sqlite_harm(sqlite):
    """A query that would change something, one that is none, and one without end."""
    sqlite.write(sqlite.path, sqlite.config("query = DELETE FROM alias WHERE source = '%s'\n"))
    sqlite.cannot_tell('user@example.org', 'attempt to write a readonly database')
    sqlite.write(sqlite.path, sqlite.config("query = SELECT missing FROM alias WHERE source = '%s'\n"))
    sqlite.cannot_tell('user@example.org', 'no such column: missing')
    sqlite.write(sqlite.path, sqlite.config('query = WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < 0\n'))
    sqlite.cannot_tell('user@example.org', 'no answer within 1 s', timeout='1s')
    sqlite.write(sqlite.path, sqlite.config("query = SELECT target FROM alias WHERE source = '%s'\n"))
    assert sqlite.one('user@example.org')[:2] == (0, 'user')


def test_sqlite_files(folder):
    t = Sqlite(folder)
    query = "query = SELECT target FROM alias WHERE source = '%s'\n"
    t.write(t.path, 'dbpath = %s/nonexistent\n%s' % (folder, query))
    t.cannot_tell('user', 'cannot open %s/nonexistent: No such file or directory' % folder)
    t.write(folder + '/damaged', 'this is no database at all\n' * 100)
    t.write(t.path, 'dbpath = %s/damaged\n%s' % (folder, query))
    t.cannot_tell('user', 'file is not a database')
    t.write(t.path, t.config(query + 'colour = green\n'))
    status, out, err = t.gatepost('user')
    assert (status, out) == (0, 'local user\n') and '%s, line 3: there is no parameter' % t.path in err and 'colour' in err
    for text, why in (('query = SELECT 1\n', 'the parameter "dbpath" is missing'), ('dbpath /x\n', "line 1: there is no '='"),
                      (t.config('table = a\n'), 'the parameter "select_field" is missing'), (t.config(''), 'the parameter "query" is missing'), (t.config('query = %x\n'), "a '%' that is followed by none of"),
                      (t.config(query + 'expansion_limit = -1\n'), 'line 3: expansion_limit is a number from 0 on, not "-1"')):
        t.write(t.path, text)
        t.cannot_tell('user', why)
    t.path = folder + '/none'
    t.cannot_tell('user', 'cannot read %s/none: No such file or directory' % folder)


# ---- servers ----

NOBODY = {'user': 'nobody', 'group': 'nogroup', 'extra_groups': []} if os.getuid() == 0 else {}


def as_nobody(*args, **more):
    done = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False, **NOBODY, **more)
    assert done.returncode == 0, done.stdout.decode('utf-8', 'replace')


class Daemon(Beside):
    """A server of our own, by nobody, on a socket and a port of its own. Those derived from it say how it starts (command) and that it is there (up)."""

    def __init__(self, folder, kind):
        super().__init__(folder, kind)
        self.data, self.port, self.process = os.path.join(folder, kind), free_port(), None
        self.secure = None          # its key and certificate, and the authority of its clients, when it knows TLS
        os.makedirs(self.data)
        if NOBODY:
            shutil.chown(self.data, 'nobody', 'nogroup')

    def start(self):
        with open(os.path.join(self.folder, self.kind + '.log'), 'ab') as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.data, start_new_session=True, **NOBODY)
        wait_for(self.up, self.kind + ' to be up', timeout=60)

    def restart(self, secure):
        self.stop(self.QUICKLY)
        self.secure = secure
        self.start()

    QUICKLY = signal.SIGTERM

    def stop(self, how=signal.SIGTERM):
        if self.process:
            os.killpg(self.process.pid, signal.SIGCONT)
            self.process.send_signal(how)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
            self.process = None

    def up(self):
        assert self.process.poll() is None, open(os.path.join(self.folder, self.kind + '.log')).read()
        return subprocess.run(self.ping(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=30, check=False).returncode == 0


def sql_rows(literal):
    return ', '.join('(%s, %s)' % (literal(a), 'NULL' if b is None else literal(b)) for a, b in ROWS)


class Pgsql(Daemon):
    BIN = (sorted(glob.glob('/usr/lib/postgresql/*/bin')) or [''])[-1]

    def __init__(self, folder):
        super().__init__(folder, 'pgsql')
        secret = os.path.join(self.data, 'secret')
        self.write(secret, 'sesame')
        os.chmod(secret, 0o644)
        as_nobody(self.BIN + '/initdb', '-D', self.data + '/db', '-U', 'mail', '-A', 'scram-sha-256', '--pwfile', secret, '-N', '-E', 'UTF8', '--locale=C',
                  cwd=self.data)
        self.start()
        self.sql('CREATE TABLE alias (id SERIAL, source TEXT, target TEXT); INSERT INTO alias (source, target) VALUES '
                 + sql_rows(lambda v: "convert_from(decode('%s', 'hex'), 'UTF8')" % v.encode().hex()) + ';'
                 + "CREATE FUNCTION find(TEXT) RETURNS SETOF TEXT AS 'SELECT target FROM alias WHERE source = $1 ORDER BY id' LANGUAGE SQL")

    def command(self):
        secure = ['-c', 'ssl=on', '-c', 'ssl_key_file=' + self.secure[0], '-c', 'ssl_cert_file=' + self.secure[1]] if self.secure else []
        return [self.BIN + '/postgres', '-D', self.data + '/db', '-p', str(self.port), '-k', self.data, '-c', 'listen_addresses=127.0.0.1,127.0.0.2',
                '-c', 'fsync=off', *secure]

    QUICKLY = signal.SIGQUIT

    def ping(self):
        return [self.BIN + '/pg_isready', '-q', '-h', self.data, '-p', str(self.port)]

    def sql(self, text):
        subprocess.run([self.BIN + '/psql', '-q', '-v', 'ON_ERROR_STOP=1', '-h', self.data, '-p', str(self.port), '-U', 'mail', 'postgres'], input=text.encode(),
                       env=dict(os.environ, PGPASSWORD='sesame', PGCLIENTENCODING='UTF8'), check=True, timeout=60)

    def config(self, text, hosts=None, password='sesame'):
        return 'hosts = %s\nuser = mail\npassword = %s\ndbname = postgres\n%s' % ('127.0.0.1:%d' % self.port if hosts is None else hosts, password, text)


class Mysql(Daemon):
    def __init__(self, folder):
        super().__init__(folder, 'mysql')
        self.socket = self.data + '/s'
        as_nobody('mariadb-install-db', '--no-defaults', '--datadir=' + self.data + '/db', '--auth-root-authentication-method=normal', '--skip-test-db')
        self.start()
        self.sql("CREATE DATABASE mail CHARACTER SET utf8mb4 COLLATE utf8mb4_bin; USE mail; CREATE USER 'mail'@'%' IDENTIFIED BY 'sesame'; GRANT ALL ON mail.* TO 'mail'@'%';"
                 'CREATE TABLE alias (id INT AUTO_INCREMENT PRIMARY KEY, source TEXT, target TEXT); INSERT INTO alias (source, target) VALUES '
                 + sql_rows(lambda v: "CONVERT(x'%s' USING utf8mb4)" % v.encode().hex()) + ';\n'
                 + 'DELIMITER //\nCREATE PROCEDURE find(IN k TEXT) BEGIN SELECT target FROM alias WHERE source = k ORDER BY id; END//\n'
                 + 'CREATE PROCEDURE twice(IN k TEXT) BEGIN SELECT 1; SELECT 2; END//\n')

    def command(self):
        secure = ['--ssl-key=' + self.secure[0], '--ssl-cert=' + self.secure[1], '--ssl-ca=' + self.secure[2]] if self.secure else []
        return ['mariadbd', '--no-defaults', '--datadir=' + self.data + '/db', '--socket=' + self.socket, '--port=%d' % self.port,
                '--bind-address=127.0.0.1,127.0.0.2', '--pid-file=' + self.data + '/pid', '--innodb-flush-log-at-trx-commit=0', '--skip-name-resolve', *secure]

    def ping(self):
        return ['mariadb-admin', '--no-defaults', '--socket=' + self.socket, '-u', 'root', 'ping']

    def sql(self, text):
        subprocess.run(['mariadb', '--no-defaults', '--socket=' + self.socket, '-u', 'root'], input=text.encode(), check=True, timeout=60)

    def config(self, text, hosts=None, password='sesame'):
        return 'hosts = %s\nuser = mail\npassword = %s\ndbname = mail\noption_group =\n%s' % ('127.0.0.1:%d' % self.port if hosts is None else hosts, password, text)


@pytest.fixture(scope='module', params=[Pgsql, Mysql])
def sql(request, place):
    server = request.param(place)
    yield server
    server.stop(server.QUICKLY)


# Postfix 3.7 speaks LATIN1 to PostgreSQL, later ones UTF8.
LATIN1 = {'pgsql': 'encoding = LATIN1\n', 'mysql': ''}
PLAIN = QUERIES['plain']


@pytest.mark.parametrize('name', QUERIES)
def test_sql(sql, name):
    found = sql.same(sql.config(LATIN1[sql.kind] + QUERIES[name]))
    if name == 'plain':
        assert found['user@example.org'] == 'user' and found['multi@example.org'] == 'a@one.example.org,b@two.example.org' and found["o'brien@example.org"] == "o'brien"
        assert found['\\'] == 'backslash' and 'nobody@example.org' not in found and 'null@example.org' not in found


def test_sql_own_words(sql, monkeypatch):
    """What only one of them has."""
    keys = ['user@example.org', "o'brien@example.org", 'multi@example.org', 'nobody@example.org']
    if sql.kind == 'pgsql':
        sql.same(sql.config('select_function = find\n'), keys)
        uri = 'postgresql://mail:sesame@127.0.0.1:%d/postgres' % sql.port
        # A folder's socket has the port in its name, which Postfix 3.7 can only be told by the environment.
        monkeypatch.setenv('PGPORT', str(sql.port))
        for hosts in (uri, 'localhost', 'localhost:%d' % sql.port, 'inet:localhost:%d' % sql.port, sql.data, 'unix:' + sql.data, ''):
            sql.same(sql.config(PLAIN, hosts=hosts), keys)
        monkeypatch.delenv('PGPORT')
        for dbname in ('host=127.0.0.1 port=%d dbname=postgres connect_timeout=5' % sql.port, uri):
            sql.same('hosts = 127.0.0.1\ndbname = %s\nuser = mail\npassword = sesame\n%s' % (dbname, PLAIN), keys)
        # Postfix 3.7 takes the port for a part of the path.
        sql.write(sql.path, sql.config(PLAIN, hosts='unix:%s:%d' % (sql.data, sql.port)))
        assert sql.one('user@example.org')[:2] == (0, 'user')
        sql.write(sql.path, sql.config(PLAIN))
        assert sql.one('j\xfcrgen@example.org')[:2] == (0, 'j\xfcrgen')
    else:
        sql.same(sql.config("query = CALL find('%s')\n"), keys)
        sql.write(sql.path, sql.config("query = CALL twice('%s')\n"))
        sql.cannot_tell('user', 'the query has more than one result')
        sql.write(sql.path, sql.config("query = SET @x = '%s'\n"))
        sql.cannot_tell('user', 'the query has no result (require_result_set)')
        sql.same(sql.config("query = SET @x = '%s'\nrequire_result_set = no\n"), keys)
        sql.same(sql.config(PLAIN, hosts='unix:' + sql.socket), keys)


def test_sql_faults(sql):
    sql.write(sql.path, sql.config(PLAIN + 'expansion_limit = 1\n'))
    assert sql.one('user@example.org')[:2] == (0, 'user')
    sql.cannot_tell('multi@example.org', 'more than 1 values (expansion_limit)')
    assert sql.postmap('multi@example.org')[:2] == (1, '')
    sql.write(sql.path, sql.config("query = SELECT missing FROM alias WHERE source = '%s'\n"))
    sql.cannot_tell('user', 'missing')
    sql.write(sql.path, sql.config(PLAIN, password='wrong'))
    sql.cannot_tell('user', 'mail')


def test_sql_hosts(sql):
    """One that refuses, one that hangs, and one that answers; then one that hangs alone."""
    dead = '127.0.0.1:%d' % free_port()
    sql.write(sql.path, sql.config(PLAIN, hosts='%s 127.0.0.1:%d' % (dead, sql.port)))
    for _ in range(2):
        assert sql.one('user@example.org')[:2] == (0, 'user')
    sql.write(sql.path, sql.config(PLAIN, hosts=dead))
    sql.cannot_tell('user', dead + ': ')
    assert '\t' not in sql.one('user')[2]
    import socket
    with socket.create_server(('127.0.0.1', 0)) as silent:
        hangs = '127.0.0.1:%d' % silent.getsockname()[1]
        sql.write(sql.path, sql.config(PLAIN, hosts='%s 127.0.0.1:%d' % (hangs, sql.port)))
        for _ in range(2):
            assert sql.patient('4s', 'user@example.org')[:2] == (0, 'user\n')
        sql.write(sql.path, sql.config(PLAIN, hosts=hangs))
        sql.cannot_tell('user', hangs + ': ', timeout='1s')


def test_sql_restart(sql, folder):
    """A connection that was kept is replaced at once when the server was restarted; without a server nothing is said to be not found."""
    sql.write(sql.path, sql.config(PLAIN))
    with Asked(folder, sql.map) as asked:
        assert asked.get('user@example.org', 'nobody@example.org') == ['user', None]
        sql.stop(signal.SIGKILL)
        assert asked.get('user@example.org', 'nobody@example.org') == [451, 451]
        sql.start()
        assert asked.get('user@example.org', 'nobody@example.org') == ['user', None]


# ---- TLS ----

class Certificates:
    """.right and .wrong are files of authorities; .server is a key and a certificate of the right one for 127.0.0.1, but not for 127.0.0.2."""

    def __init__(self, folder):
        right = Authority(folder, 'right')
        self.right, self.wrong = right.pem, Authority(folder, 'wrong').pem
        self.server = *right.sign('server', 'IP:127.0.0.1'), right.pem
        self.client = right.sign('mail', 'DNS:mail')
        for path in self.server[:2] + self.client:
            os.chmod(path, 0o600)
        if NOBODY:
            shutil.chown(self.server[0], 'nobody', 'nogroup')
        os.chmod(self.server[1], 0o644)


@pytest.fixture(scope='module')
def certificates(place):
    return Certificates(os.path.join(place, 'tls'))


@pytest.fixture
def secure_sql(sql, certificates):
    sql.restart(certificates.server)
    yield sql
    sql.restart(None)


ENCRYPTED = {'pgsql': "query = SELECT ssl || ' ' || target FROM alias, pg_stat_ssl WHERE source = '%s' AND pid = pg_backend_pid()\n",
             'mysql': "query = SELECT CONCAT(variable_value <> '', ' ', target) FROM alias, information_schema.session_status WHERE source = '%s' "
                      "AND variable_name = 'Ssl_version'\n"}


def pgsql_over_tls(server, options, host='127.0.0.1'):
    """Both ways to say OPTIONS of libpq."""
    address = '%s:%d' % (host, server.port)
    return ('hosts = postgresql://mail:sesame@%s/postgres?%s\ndbname = any\n%s' % (address, options.replace(' ', '&'), ENCRYPTED['pgsql']),
            'hosts = %s\nuser = mail\npassword = sesame\ndbname = dbname=postgres %s\n%s' % (address, options, ENCRYPTED['pgsql']))


@pytest.mark.parametrize('sql', [Pgsql], indirect=True)
def test_pgsql_tls(secure_sql, certificates):
    keys, found = ['user@example.org', 'nobody@example.org'], {'user@example.org': 'true user'}
    for options in ('sslmode=require', 'sslmode=verify-full sslrootcert=' + certificates.right):
        for text in pgsql_over_tls(secure_sql, options):
            assert secure_sql.same(text, keys) == found
    for text in pgsql_over_tls(secure_sql, 'sslmode=verify-full sslrootcert=' + certificates.wrong):
        secure_sql.neither_can_tell(text, keys[1], '127.0.0.1:%d: ' % secure_sql.port)
        secure_sql.cannot_tell(keys[0], 'certificate verify failed')
        assert 'sesame' not in secure_sql.one(keys[0])[2]
    for text in pgsql_over_tls(secure_sql, 'sslmode=verify-full sslrootcert=' + certificates.right, '127.0.0.2'):
        secure_sql.neither_can_tell(text, keys[1], 'server certificate for "127.0.0.1" does not match host name "127.0.0.2"')
    for text in pgsql_over_tls(secure_sql, 'sslmode=verify-full sslrootcert=%s.none' % certificates.right):
        secure_sql.neither_can_tell(text, keys[1], 'right.pem.none" does not exist')


@pytest.mark.parametrize('sql', [Pgsql], indirect=True)
def test_pgsql_without_tls(sql):
    for text in pgsql_over_tls(sql, 'sslmode=require'):
        sql.neither_can_tell(text, 'nobody@example.org', 'server does not support SSL, but SSL was required')
    for text in pgsql_over_tls(sql, 'sslmode=prefer'):
        assert sql.same(text, ['user@example.org']) == {'user@example.org': 'false user'}


def mysql_over_tls(server, text, host='127.0.0.1'):
    return 'hosts = %s:%d\nuser = mail\npassword = sesame\ndbname = mail\noption_group =\n%s%s' % (host, server.port, text, ENCRYPTED['mysql'])


@pytest.mark.parametrize('sql', [Mysql], indirect=True)
def test_mysql_tls(secure_sql, certificates):
    keys, found = ['user@example.org', 'nobody@example.org'], {'user@example.org': '1 user'}
    right, wrong, verify = 'tls_CAfile = %s\n' % certificates.right, 'tls_CAfile = %s\n' % certificates.wrong, 'tls_verify_cert = yes\n'
    client = 'tls_key_file = %s\ntls_cert_file = %s\n' % certificates.client
    for text in (right + verify, right, right + verify + client):
        assert secure_sql.same(mysql_over_tls(secure_sql, text), keys) == found
    for text in (wrong, wrong + verify, verify):
        secure_sql.neither_can_tell(mysql_over_tls(secure_sql, text), keys[1], 'self-signed certificate in certificate chain')
    secure_sql.neither_can_tell(mysql_over_tls(secure_sql, right + verify, '127.0.0.2'), keys[1], 'Validation of SSL server certificate failed')
    secure_sql.neither_can_tell(mysql_over_tls(secure_sql, 'tls_CAfile = %s.none\n' % certificates.right), keys[1], 'TLS/SSL error: No such file')
    assert secure_sql.same(mysql_over_tls(secure_sql, ''), keys) == {'user@example.org': '0 user'}


@pytest.mark.parametrize('sql', [Mysql], indirect=True)
def test_mysql_without_tls(sql, certificates):
    right = 'tls_CAfile = %s\n' % certificates.right
    sql.neither_can_tell(mysql_over_tls(sql, right + 'tls_verify_cert = yes\n'), 'nobody@example.org', 'SSL is required, but the server does not support it')
    # Postfix goes on without TLS here.
    sql.write(sql.path, mysql_over_tls(sql, right))
    sql.cannot_tell('nobody@example.org', 'the server offers no TLS, and there are tls_* parameters')
    sql.write(sql.path, sql.config(right + PLAIN, hosts='unix:' + sql.socket))
    assert sql.one('user@example.org')[:2] == (0, 'user')


# ---- ldap ----

BASE = 'dc=example,dc=org'


class Ldap(Daemon):
    """A directory: description is the source, title the target; seeAlso and labeledURI name other entries."""

    GROUPS = [('group', {'mail': ['list@example.org'], 'seeAlso': ['cn=one,' + BASE, 'cn=gone,' + BASE, 'cn=inner,' + BASE]}), ('one', {'mail': ['one@example.org']}),
              ('inner', {'mail': ['inner@example.org'], 'labeledURI': ['ldap:///%s??sub?(|(cn=one)(cn=two))' % BASE]}),
              ('two', {'mail': ['two@example.org', 'second@example.org']}), ('routed', {'title': ['elsewhere@example.net'], 'seeAlso': ['cn=one,' + BASE]}),
              ('loop', {'seeAlso': ['cn=loop,' + BASE]}), ('hidden', {'labeledURI': ['ldap:///%s?sn?sub?(cn=one)' % BASE]})]

    def __init__(self, folder):
        super().__init__(folder, 'ldap')
        import base64
        self.tls_port = free_port()
        self.write(folder + '/slapd.conf', ''.join('include /etc/ldap/schema/%s.schema\n' % s for s in ('core', 'cosine', 'inetorgperson'))
                   + 'pidfile %s/pid\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\nallow bind_v2\ndatabase mdb\nsuffix "%s"\nrootdn "cn=root,%s"\nrootpw sesame\n'
                   'directory %s\n' % (self.data, BASE, BASE, self.data))
        targets = {}
        for source, target in ROWS:
            targets.setdefault(source, []).extend([target] if target else [])
        entries = ['dn: %s\nobjectClass: domain\ndc: example\n' % BASE]
        people = [('n%d' % i, {'description': [source], 'title': target}) for i, (source, target) in enumerate(targets.items()) if len(source) < 1000]
        for cn, attributes in people + self.GROUPS:
            lines = ['dn: cn=%s,%s' % (cn, BASE), 'objectClass: inetOrgPerson', 'cn: ' + cn, 'sn: x']
            lines += ['%s:: %s' % (name, base64.b64encode(v.encode()).decode()) for name, values in attributes.items() for v in values]
            entries.append('\n'.join(lines) + '\n')
        self.write(folder + '/all.ldif', '\n'.join(entries))
        as_nobody('/usr/sbin/slapadd', '-q', '-f', folder + '/slapd.conf', '-l', folder + '/all.ldif')
        self.start()

    def command(self):
        urls, conf = ['ldap://127.0.0.1:%d' % self.port, 'ldap://127.0.0.2:%d' % self.port], self.folder + '/slapd.conf'
        if self.secure:
            urls += ['ldaps://127.0.0.1:%d' % self.tls_port, 'ldaps://127.0.0.2:%d' % self.tls_port]
            with open(conf) as f:
                text = f.read()
            conf += '.tls'
            self.write(conf, 'TLSCertificateKeyFile %s\nTLSCertificateFile %s\n%s' % (*self.secure[:2], text))
        return ['/usr/sbin/slapd', '-f', conf, '-h', ' '.join(urls), '-d', '0']

    def ping(self):
        return ['ldapsearch', '-x', '-H', 'ldap://127.0.0.1:%d' % self.port, '-b', '', '-s', 'base']

    def config(self, text, hosts=None, password='sesame'):
        return 'server_host = %s\nserver_port = %d\nversion = 3\nbind_dn = cn=root,%s\nbind_pw = %s\n%s%s' % (
            hosts or '127.0.0.1', self.port, BASE, password, '' if 'search_base' in text else 'search_base = %s\n' % BASE, text)


@pytest.fixture(scope='module')
def ldap(place):
    server = Ldap(place)
    yield server
    server.stop()


FILTERS = {
    'plain': 'query_filter = (description=%s)\nresult_attribute = title\n',
    'parts': 'query_filter = (&(description=%u@%d)(sn=x))\nresult_attribute = title\nresult_format = %S -> %s (%U of %D)\n',
    'older': 'query_filter = description=%s\nresult_attribute = title, mail\nresult_filter = <%u>\n',
    'base': 'search_base = cn=%s,dc=example,dc=org\nscope = base\nquery_filter = (sn=x)\nresult_attribute = description\n',
    'domain': 'query_filter = (description=%s)\nresult_attribute = title\ndomain = example.org\nscope = one\n',
}
GROUP = 'query_filter = (cn=%s)\n'


@pytest.mark.parametrize('name', FILTERS)
def test_ldap(ldap, name):
    found = ldap.same(ldap.config(FILTERS[name]), KEYS + ['n0', 'N1', 'n0,dc=example', 'n0+sn=x'])
    if name == 'plain':
        assert found['user@example.org'] == 'user' and found['*'] == 'star' and found['('] == 'open' and found['\\'] == 'backslash'
        assert sorted(found['multi@example.org'].split(',')) == ['a@one.example.org', 'b@two.example.org'] and '*)(mail=*' not in found
    elif name == 'base':
        assert found['n0'] == 'user@example.org' and 'n0,dc=example' not in found


def test_ldap_groups(ldap):
    keys = ['group', 'inner', 'two', 'routed', 'hidden', 'one', 'none']
    found = ldap.same(ldap.config(GROUP + 'result_attribute = mail\nspecial_result_attribute = seeAlso labeledURI\n'), keys)
    assert found['group'] == 'list@example.org,one@example.org,inner@example.org,one@example.org,two@example.org,second@example.org' and 'hidden' not in found
    ldap.same(ldap.config(GROUP + 'result_attribute =\nspecial_result_attribute = seeAlso, labeledURI\nleaf_result_attribute = mail\nterminal_result_attribute = title\n'),
              keys)
    ldap.same(ldap.config(GROUP + 'result_attribute = mail\nbind = no\n'), keys)


def test_ldap_faults(ldap):
    ldap.write(ldap.path, ldap.config(GROUP + 'result_attribute = mail\nspecial_result_attribute = seeAlso\n'))
    ldap.cannot_tell('loop', 'entries that name each other')
    ldap.write(ldap.path, ldap.config(GROUP + 'result_attribute = mail\nexpansion_limit = 1\n'))
    ldap.cannot_tell('two', 'more than 1 values (expansion_limit)')
    ldap.write(ldap.path, ldap.config('query_filter = (sn=x)\nresult_attribute = cn\nsize_limit = 2\n'))
    ldap.cannot_tell('two', 'Size limit exceeded')
    ldap.write(ldap.path, ldap.config('search_base = dc=nowhere\n' + GROUP))
    ldap.cannot_tell('two', 'No such object')
    ldap.write(ldap.path, ldap.config(GROUP, password='wrong'))
    ldap.cannot_tell('two', 'Invalid credentials')
    ldap.write(ldap.path, ldap.config('query_filter = (((\n'))
    ldap.cannot_tell('two', 'Bad search filter')
    import socket
    with socket.create_server(('127.0.0.1', 0)) as silent:
        ldap.write(ldap.path, ldap.config(GROUP + 'result_attribute = mail\ntimeout = 4\n', hosts='ldap://127.0.0.1:%d, 127.0.0.1' % silent.getsockname()[1]))
        assert ldap.one('one')[:2] == (0, 'one@example.org')
        ldap.write(ldap.path, ldap.config(GROUP + 'timeout = 1\n', hosts='127.0.0.1:%d' % silent.getsockname()[1]))
        ldap.cannot_tell('one', 'Timed out')


def test_ldap_restart(ldap, folder):
    ldap.write(ldap.path, ldap.config(FILTERS['plain']))
    with Asked(folder, ldap.map) as asked:
        assert asked.get('user@example.org', 'nobody@example.org') == ['user', None]
        ldap.stop(signal.SIGKILL)
        assert asked.get('user@example.org', 'nobody@example.org') == [451, 451]
        ldap.start()
        assert asked.get('user@example.org', 'nobody@example.org') == ['user', None]


@pytest.fixture
def secure_ldap(ldap, certificates):
    ldap.restart(certificates.server)
    yield ldap
    ldap.restart(None)


def ldap_over_tls(server, text, host='127.0.0.1'):
    """ldaps:, and start_tls."""
    return (server.config(FILTERS['plain'] + text, hosts='ldaps://%s:%d' % (host, server.tls_port)),
            server.config(FILTERS['plain'] + text + 'start_tls = yes\n', hosts=host))


def test_ldap_tls(secure_ldap, certificates):
    keys, found = ['user@example.org', 'nobody@example.org'], {'user@example.org': 'user'}
    right, wrong, verify = 'tls_ca_cert_file = %s\n' % certificates.right, 'tls_ca_cert_file = %s\n' % certificates.wrong, 'tls_require_cert = yes\n'
    client = 'tls_key = %s\ntls_cert = %s\n' % certificates.client
    for more in ('', right + verify, right + verify + client, wrong):
        for text in ldap_over_tls(secure_ldap, more):
            assert secure_ldap.same(text, keys) == found
    for more, host in ((wrong + verify, '127.0.0.1'), (verify, '127.0.0.1'), (right + verify, '127.0.0.2')):
        for text in ldap_over_tls(secure_ldap, more, host):
            secure_ldap.neither_can_tell(text, keys[1], ': the certificate is not good')
    for more, why in (('tls_ca_cert_file = %s.none\n' % certificates.right, 'cannot read %s.none: No such file' % certificates.right),
                      ('tls_cipher_suite = NONESUCH\n', 'the library does not take these tls_* parameters')):
        for text in ldap_over_tls(secure_ldap, more):
            secure_ldap.neither_can_tell(text, keys[1], why)


def test_ldap_without_tls(ldap):
    text = ldap_over_tls(ldap, '')[1]
    ldap.neither_can_tell(text, 'nobody@example.org', 'Protocol error: unsupported extended operation')
    ldap.neither_can_tell(text.replace('start_tls = yes\n', '').replace('127.0.0.1', 'ldaps://127.0.0.1:%d' % ldap.port), 'nobody@example.org',
                          "Can't contact LDAP server")


# A bind's and a StartTLS's success; the beginning of a message that is longer.
LDAP_BOUND, LDAP_SECURE, LDAP_HALF = bytes.fromhex('300c02010161070a010004000400'), bytes.fromhex('300c02010178070a010004000400'), bytes.fromhex('300c02')


@pytest.mark.parametrize('scheme,more,said', [('ldaps', '', []), ('ldap', 'start_tls = yes\n', [LDAP_SECURE]), ('ldap', 'start_tls = yes\n', []), ('ldap', '', [LDAP_HALF]),
                                              ('ldap', '', [LDAP_BOUND]), ('ldap', '', [LDAP_BOUND, LDAP_HALF])])
def test_ldap_hangs(folder, scheme, more, said):
    """A server that says nothing, in a handshake, or within a message: Postfix waits for ever for some of these."""
    import socket
    import threading
    t = Beside(folder, 'ldap')
    with socket.create_server(('127.0.0.1', 0)) as server:
        def answer():
            c, _ = server.accept()
            with c:
                for data in said:
                    c.recv(4096)
                    c.sendall(data)
                while c.recv(4096):
                    pass
        thread = threading.Thread(target=answer)
        thread.start()
        t.write(t.path, 'server_host = %s://127.0.0.1:%d\nsearch_base = dc=x\nversion = 3\ntimeout = 1\nquery_filter = (cn=%%s)\n%s' % (scheme, server.getsockname()[1], more))
        t.cannot_tell('user', 'Timed out')
        thread.join()


# ---- memcache: no module, but read from the same sort of file ----

class Memcache(Daemon):
    def __init__(self, folder):
        super().__init__(folder, 'memcache')
        self.start()
        for source, target in ROWS:
            if target and len(source) < 250 and not any(c.isspace() for c in source):
                self.put('t:' + source, target)

    def talk(self, data):
        import socket
        with socket.create_connection(('127.0.0.1', self.port), timeout=20) as s:
            s.sendall(data)
            return s.recv(4096)

    def put(self, key, value):
        said = self.talk(b'set %s 0 0 %d\r\n%s\r\n' % (key.encode(), len(value.encode()), value.encode()))
        assert said == b'STORED\r\n'

    def command(self):
        return ['memcached', '-l', '127.0.0.1', '-p', str(self.port), '-U', '0', '-m', '8'] + (['-u', 'nobody'] if NOBODY else [])

    def up(self):
        assert self.process.poll() is None
        try:
            return self.talk(b'version\r\n').startswith(b'VERSION')
        except OSError:
            return False

    def config(self, text):
        return 'memcache = inet:127.0.0.1:%d\nkey_format = t:%%s\n%s' % (self.port, text)


@pytest.fixture(scope='module')
def memcache(place):
    server = Memcache(place)
    yield server
    server.stop()


def test_memcache(memcache):
    keys = [k for k in KEYS if len(k) < 240]
    found = memcache.same(memcache.config(''), keys)
    assert found['user@example.org'] == 'user' and 'space key' not in found and 'nobody@example.org' not in found
    memcache.same(memcache.config('domain = second.example.org\n'), keys)
    memcache.put('second/org', 'parts')
    assert memcache.same('memcache = inet:127.0.0.1:%d\nkey_format = %%u/%%1\n' % memcache.port, ['second@example.org', 'x@example.org', 'second']) == \
        {'second@example.org': 'parts'}


def test_memcache_backup(memcache):
    backup = memcache.folder + '/backup'
    memcache.write(backup, 'new@example.org from backup\nuser@example.org not asked\nspace key never\n')
    memcache.write(memcache.path, memcache.config('backup = texthash:%s\n' % backup))
    assert memcache.one('new@example.org')[:2] == (0, 'from backup')
    assert memcache.talk(b'get t:new@example.org\r\n') == b'VALUE t:new@example.org 0 11\r\nfrom backup\r\nEND\r\n'
    assert memcache.one('user@example.org')[:2] == (0, 'user') and memcache.one('space key')[0] == memcache.one('none')[0] == 1


def test_memcache_faults(memcache):
    memcache.write(memcache.path, memcache.config('data_size_limit = 3\n'))
    memcache.cannot_tell('user@example.org', 'the value is too long (data_size_limit)')
    memcache.write(memcache.path, memcache.config(''))
    memcache.cannot_tell('x' * 300, 'an unexpected reply')
    dead = 'memcache = inet:127.0.0.1:%d\n' % free_port()
    memcache.write(memcache.path, dead)
    memcache.cannot_tell('user@example.org', 'cannot connect')
    memcache.write(memcache.path, dead + 'backup = static:spare\n')
    assert memcache.one('user@example.org')[:2] == (0, 'spare')
    import socket
    with socket.create_server(('127.0.0.1', 0)) as silent:
        memcache.write(memcache.path, 'memcache = inet:127.0.0.1:%d\ntimeout = 1\n' % silent.getsockname()[1])
        memcache.cannot_tell('user@example.org', 'no answer within 1 s')
