"""Types that users made, through the drivers that ask the catalog about them: psycopg's EnumInfo, asyncpg's
introspection, SQLAlchemy's Enum with reflection."""

import asyncio
import enum
import os

import asyncpg
import psycopg
from psycopg.types.enum import EnumInfo, register_enum
from sqlalchemy import Enum, MetaData, Table, create_engine, inspect, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Mood(enum.Enum):
    SAD = "sad"
    OK = "ok"
    HAPPY = "happy"


def with_psycopg() -> None:
    with psycopg.connect(autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS felt; DROP TYPE IF EXISTS mood")
        connection.execute("CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')")
        connection.execute("CREATE TABLE felt (id int PRIMARY KEY, m mood NOT NULL DEFAULT 'ok', many mood[])")
        info = EnumInfo.fetch(connection, "mood")
        assert info is not None and info.labels == ["sad", "ok", "happy"], info
        register_enum(info, connection, Mood, mapping={member: member.value for member in Mood})
        insert = "INSERT INTO felt VALUES (%s, %s, %s)"
        connection.execute(insert, (1, Mood.HAPPY, [Mood.SAD, Mood.OK]))
        connection.execute("INSERT INTO felt VALUES (%b, %b, %b)", (2, Mood.SAD, [Mood.HAPPY]))
        connection.execute("INSERT INTO felt (id) VALUES (3)")
        for binary in (False, True):
            cursor = connection.cursor(binary=binary)
            cursor.execute("SELECT * FROM felt ORDER BY m")
            assert cursor.description[1].type_code == info.oid, cursor.description[1]
            assert cursor.description[2].type_code == info.array_oid, cursor.description[2]
            rows = cursor.fetchall()
            assert rows == [(2, Mood.SAD, [Mood.HAPPY]), (3, Mood.OK, None),
                            (1, Mood.HAPPY, [Mood.SAD, Mood.OK])], rows
            found = cursor.execute("SELECT id FROM felt WHERE m = %s OR m = ANY(%s)",
                                   (Mood.OK, [Mood.SAD])).fetchall()
            assert sorted(found) == [(2,), (3,)], found
        with connection.cursor().copy("COPY felt FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["int4", "mood", "mood[]"])
            for at in range(10, 110):
                copy.write_row((at, Mood.HAPPY if at % 2 else Mood.SAD, [Mood.OK]))
        with connection.cursor().copy("COPY felt FROM STDIN") as copy:
            copy.write_row((200, Mood.OK, [Mood.SAD, None]))
        counts = connection.execute("SELECT m, count(*) FROM felt GROUP BY m ORDER BY m").fetchall()
        assert counts == [(Mood.SAD, 51), (Mood.OK, 2), (Mood.HAPPY, 51)], counts
        with connection.cursor().copy("COPY (SELECT m, many FROM felt WHERE id = 200) TO STDOUT") as copy:
            assert b"".join(copy) == b"ok\t{sad,NULL}\n"
        try:
            connection.execute(insert, (300, "glad", None))
            raise AssertionError("a label that there is not")
        except psycopg.errors.InvalidTextRepresentation as error:
            assert error.diag.message_primary == 'invalid input value for enum mood: "glad"', error

        # A statement that was prepared before takes a label that came after.
        for label in ("sad", "ok"):
            connection.execute("SELECT id FROM felt WHERE m = %s::mood", (label,), prepare=True)
        with psycopg.connect(autocommit=True) as other:
            other.execute("ALTER TYPE mood ADD VALUE 'meh' BEFORE 'ok'")
            other.execute("INSERT INTO felt VALUES (400, 'meh')")
        found = connection.execute("SELECT id FROM felt WHERE m = %s::mood", ("meh",), prepare=True).fetchall()
        assert found == [(400,)], found


async def with_asyncpg() -> None:
    connection = await asyncpg.connect()
    insert = "INSERT INTO felt VALUES ($1, $2, $3)"
    await connection.execute(insert, 500, "happy", ["sad", "meh", None])
    await connection.executemany(insert, [(at, "meh", []) for at in range(501, 511)])
    await connection.copy_records_to_table("felt", records=[(600, "sad", ["ok"]), (601, "ok", None)])
    rows = await connection.fetch("SELECT id, m, many FROM felt WHERE id >= 500 AND m <> $1 ORDER BY m, id", "meh")
    assert [tuple(row) for row in rows] == [
        (600, "sad", ["ok"]), (601, "ok", None), (500, "happy", ["sad", "meh", None])], rows
    prepared = await connection.prepare("SELECT m FROM felt WHERE m = ANY($1::mood[]) AND id > $2")
    assert [kind.name for kind in prepared.get_parameters()] == ["mood[]", "int4"], prepared.get_parameters()
    assert prepared.get_attributes()[0].type.name == "mood", prepared.get_attributes()
    assert len(await prepared.fetch(["meh", "ok"], 500)) == 11
    try:
        await connection.fetch("SELECT $1::mood", "glad")
        raise AssertionError("a label that there is not")
    except asyncpg.InvalidTextRepresentationError as error:
        assert str(error) == 'invalid input value for enum mood: "glad"', error
    await connection.close()


class Base(DeclarativeBase):
    pass


class Worn(Base):
    __tablename__ = "worn"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    size: Mapped[str] = mapped_column(Enum("small", "medium", "large", name="Size"), server_default="medium")
    mood: Mapped[Mood | None] = mapped_column(Enum(Mood, name="worn_mood"))
    sizes: Mapped[list[str] | None] = mapped_column(ARRAY(Enum("small", "medium", "large", name="Size")))


def with_sqlalchemy() -> None:
    user, host, port, database = (os.environ[f"PG{word}"] for word in ("USER", "HOST", "PORT", "DATABASE"))
    engine = create_engine(f"postgresql+psycopg://{user}@{host}:{port}/{database}")
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([
            Worn(id=1, size="large", mood=Mood.OK, sizes=["small", "large"]), Worn(id=2, size="small"), Worn(id=3),
        ])
        session.commit()
        assert session.scalars(select(Worn.id).order_by(Worn.size)).all() == [2, 3, 1]
        assert session.scalars(select(Worn.id).where(Worn.size.in_(["large", "small"]))).all() == [1, 2]
        first = session.get(Worn, 1)
        assert (first.mood, first.sizes) == (Mood.OK, ["small", "large"]), first
    columns = {column["name"]: column for column in inspect(engine).get_columns("worn")}
    assert columns["size"]["type"].enums == ["small", "medium", "large"], columns["size"]
    assert columns["size"]["default"] == "'medium'::\"Size\"", columns["size"]
    enums = {found["name"]: found["labels"] for found in inspect(engine).get_enums()}
    assert enums["Size"] == ["small", "medium", "large"] and enums["worn_mood"] == ["SAD", "OK", "HAPPY"], enums
    reflected = Table("worn", MetaData(), autoload_with=engine)
    assert reflected.c.sizes.type.item_type.name == "Size", reflected.c.sizes.type
    Base.metadata.drop_all(engine)
    assert {found["name"] for found in inspect(engine).get_enums()} == {"mood"}


def main() -> None:
    with_psycopg()
    asyncio.run(with_asyncpg())
    with_sqlalchemy()
    with psycopg.connect(autocommit=True) as connection:
        connection.execute("DROP TABLE felt; DROP TYPE mood")
    print("ok")


main()
