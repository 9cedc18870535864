/* Copies the files of the image. */
function addImageFile(job, cb) {
    var uuid = job.params.image_uuid;

    addFiles(job, uuid, Date.now() + 3590000, function (err) {
        cb(err, 'Image ' + uuid + ' file added');
    });
}
